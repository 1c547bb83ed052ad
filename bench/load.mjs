import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { run } from '../test/support/processes.mjs';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));

/**
 * Loads a server with wrk for some seconds over a number of connections, through one thread.
 *
 * @param script `get` or `put`: bench/SCRIPT.lua, which takes `args` and then the token, if there is one
 * @returns requests answered a second, and the 99th percentile of their latency in milliseconds
 * @throws when any request was not answered with a 2xx
 */
export async function load({ url, token }, { script, connections, seconds, args }) {
  const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout=20s', '-s', `${script}.lua`];
  const { code, stdout, stderr } = await run(
    'wrk',
    [...options, url, '--', ...args.map(String), ...(token ? [token] : [])],
    {
      cwd: FOLDER,
      timeoutMs: (seconds + 30) * 1000,
    },
  );
  const line = /^\{.*\}$/m.exec(stdout.toString())?.[0];
  if (code !== 0 || line === undefined) throw new Error(`wrk failed: ${stderr}${stdout}`);
  const { requests, microseconds, p99Microseconds, errors } = JSON.parse(line);
  if (errors > 0) throw new Error(`${errors} of ${requests} requests (${script}) to ${url} failed`);
  return { throughput: requests / (microseconds / 1e6), p99: p99Microseconds / 1000 };
}

/** Puts the secrets bench/0 … bench/(count-1), each of 32 bytes, over 64 connections. */
export async function fill(url, token, count) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  let next = 0;
  const work = async () => {
    while (next < count) {
      const i = next++;
      const value = Buffer.alloc(32);
      value.write(String(i));
      await put(agent, url, token, { Name: `bench/${i}`, Value: value.toString('base64') });
    }
  };
  try {
    await Promise.all(Array.from({ length: 64 }, work));
  } finally {
    agent.destroy();
  }
}

function put(agent, url, token, body) {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${url}/api/put`, {
      agent,
      method: 'POST',
      timeout: 30_000,
      headers: {
        'Content-Type': 'application/json',
        'Sec-X-Tailscale-No-Browsers': 'setec',
        Authorization: `Bearer ${token}`,
      },
    });
    outgoing.once('response', (response) => {
      response.resume();
      response.once('end', resolve);
      if (response.statusCode !== 200) reject(new Error(`put answered ${response.statusCode}`));
    });
    outgoing.once('timeout', () => outgoing.destroy(new Error('a put took over 30 s')));
    outgoing.once('error', reject);
    outgoing.end(JSON.stringify(body));
  });
}
