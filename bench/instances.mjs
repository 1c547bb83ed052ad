import { Agent, request } from 'node:http';
import { NatsCluster } from '../test/support/cluster.mjs';
import { CofferInstance } from '../test/support/instances.mjs';
import { keeping } from './keeping.mjs';
import { fill, load } from './load.mjs';
import { processorTime } from './machine.mjs';
import { row } from './table.mjs';
import { wasmcloudInstances } from './wasmcloud-instances.mjs';

const SECRETS = 10_000;
const MANY = 100_000;
const CONNECTIONS = 48;
/** Changes whose time is looked at one by one, in a run. */
const CHANGES = 300;

/**
 * Several instances on nats-servers that sync always, all on this machine: what a second and a third one add to gets, what a put
 * takes on one server and on three, how soon another instance has it, and how long a start takes.
 */
export const instances = (options) =>
  keeping(async (keep) => {
    const embedded = await options.servers.coffer(SECRETS);
    return [
      ...(await ofThree(keep, embedded, options)),
      ...(await ofOneServer(keep, embedded, options)),
      ...(await ofStarts(keep, options)),
      ...(await wasmcloudInstances(keep, options)),
    ];
  });

/** So many instances with so many secrets: `{cluster, all: [{name, url, token, instance}]}`. */
async function deploy(keep, { nats, count, secrets }) {
  const cluster = await keep(NatsCluster.start({ size: nats, auth: 'operator', direct: true }));
  const all = [];
  let token;
  for (const name of 'abc'.slice(0, count)) {
    const instance = await keep(
      CofferInstance.prepare({ cluster, name, like: all[0]?.instance, direct: true }),
    );
    await instance.start();
    token ??= await tokenOf(instance.server);
    all.push({ name, url: instance.url, token, instance });
  }
  await fill(all[0].url, token, secrets);
  return { cluster, all };
}

async function tokenOf(server) {
  const { token, principal } = await server.createToken('bench');
  await server.applyPolicy([{ to: [principal], actions: ['get', 'put', 'activate'], secrets: ['*'] }]);
  return token;
}

async function ofThree(keep, embedded, { runs, seconds, progress }) {
  progress(`three instances on three nats-servers: filling with ${SECRETS} secrets`);
  const { all } = await deploy(keep, { nats: 3, count: 3, secrets: SECRETS });
  const sides = [1, 2, 3].map((count) => ({ count, seen: [] }));
  const alone = [];
  const puts = [];
  const embeddedPuts = [];
  const seenAfter = [];
  for (let run = 0; run < runs; run++) {
    progress('get: coffer with an embedded store');
    alone.push(await together([embedded], seconds));
    for (const { count, seen } of sides) {
      progress(`get: ${count} of three instances`);
      seen.push(await together(all.slice(0, count), seconds));
    }
    progress('put, one after the other: three nats-servers, and an embedded store');
    puts.push(await putTimes(all[0], run));
    embeddedPuts.push(await putTimes(embedded, run));
    progress('lag: put at one instance, read at another');
    seenAfter.push(await lags(all[0], all[1], run));
  }
  const [one, two, three] = sides.map(({ seen }) => seen.map(({ rate }) => rate));
  const times = (seen) => seen.map(({ microseconds }) => microseconds);
  return [
    row(
      `get, one instance, ${CONNECTIONS} connections (peer: an embedded store)`,
      '/s',
      one,
      alone.map(({ rate }) => rate),
    ),
    row('  processor time of a get, the instance alone', 'µs', times(sides[0].seen), times(alone)),
    row('get, two instances (peer: one)', '/s', two, one),
    row('get, three instances (peer: one)', '/s', three, one),
    ...putRows('put, three nats-servers, sync always (peer: an embedded store)', puts, embeddedPuts),
    ...lagRows(seenAfter, puts),
  ];
}

async function ofOneServer(keep, embedded, { runs, progress }) {
  const { all } = await deploy(keep, { nats: 1, count: 1, secrets: 100 });
  const puts = [];
  const embeddedPuts = [];
  for (let run = 0; run < runs; run++) {
    progress('put, one after the other: one nats-server, and an embedded store');
    puts.push(await putTimes(all[0], run));
    embeddedPuts.push(await putTimes(embedded, runs + run));
  }
  return putRows('put, one nats-server, sync always (peer: an embedded store)', puts, embeddedPuts);
}

async function ofStarts(keep, { servers, runs, progress }) {
  progress(`three nats-servers: filling with ${MANY} secrets`);
  const { all } = await deploy(keep, { nats: 3, count: 1, secrets: MANY });
  const [{ instance }] = all;
  const embedded = await servers.coffer(MANY);
  const [resumed, anew, alone] = [[], [], []];
  const timed = async (seen, server) => {
    await server.stop();
    const start = performance.now();
    await server.start();
    seen.push(performance.now() - start);
  };
  for (let run = 0; run < runs; run++) {
    progress(`start on ${MANY} secrets`);
    await timed(resumed, instance);
    await instance.stop();
    instance.wipe({ audit: true });
    await timed(anew, instance);
    await timed(alone, restartable(embedded));
  }
  return [
    row('start on 100,000 secrets, with a replica (peer: an embedded store)', 'ms', resumed, alone),
    row('start on 100,000 secrets, without (peer: with)', 'ms', anew, resumed),
  ];
}

/** A server that other parts share, as one that is stopped and started in place. */
function restartable(shared) {
  return {
    stop: () => shared.server.stop(),
    start: async () => {
      shared.server = await shared.server.constructor.start({ folder: shared.folder });
      shared.url = shared.server.url;
    },
  };
}

/** Gets answered a second, by several at once, each with its part of the connections, and what one took of their processors. */
async function together(sides, seconds) {
  const connections = CONNECTIONS / sides.length;
  const how = { script: 'get', connections, seconds, args: [SECRETS] };
  const pids = sides.map(({ server, instance }) => (server ?? instance.server).process.pid);
  const { result, microseconds } = await processorTime(pids, () =>
    Promise.all(sides.map((side) => load(side, how))),
  );
  const rate = result.reduce((sum, { throughput }) => sum + throughput, 0);
  return { rate, microseconds: microseconds / (rate * seconds) };
}

/** Milliseconds that puts took, one after the other. */
async function putTimes(side, run) {
  return await timesOf(side, async (ask, index) => {
    const start = performance.now();
    await ask('put', { Name: `timed/${index}`, Value: encoded(`${run} ${index}`) });
    return performance.now() - start;
  });
}

/** Milliseconds from the answer to an activation until another instance gives the version that was activated. */
async function lags(writer, reader, run) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    return await timesOf(writer, async (ask, index) => {
      const Name = `lag/${index % 10}`;
      const version = Number(await ask('put', { Name, Value: encoded(`${run} ${index}`) }));
      await ask('activate', { Name, Version: version });
      const acknowledged = performance.now();
      for (;;) {
        const got = await post(agent, reader, 'get', { Name }).catch(() => undefined);
        if (got !== undefined && JSON.parse(got).Version >= version) return performance.now() - acknowledged;
      }
    });
  } finally {
    agent.destroy();
  }
}

async function timesOf(side, measure) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (method, body) => post(agent, side, method, body);
  try {
    const times = [];
    for (let index = 0; index < CHANGES; index++) times.push(await measure(ask, index));
    return times;
  } finally {
    agent.destroy();
  }
}

const at = (share) => (times) => times.toSorted((a, b) => a - b)[Math.floor(share * (times.length - 1))];
const median = at(0.5);
const p99 = at(0.99);

const putRows = (what, ours, theirs) => [
  row(what, 'ms', ours.map(median), theirs.map(median)),
  row('  99th percentile', 'ms', ours.map(p99), theirs.map(p99)),
];

const lagRows = (seen, puts) => [
  row(
    'acknowledged at one instance, read at another (peer: the put itself)',
    'ms',
    seen.map(median),
    puts.map(median),
  ),
  row('  99th percentile', 'ms', seen.map(p99), puts.map(p99)),
];

const encoded = (text) => Buffer.from(text).toString('base64');

function post(agent, { url, token }, method, body) {
  return new Promise((resolve, reject) => {
    const headers = {
      'Content-Type': 'application/json',
      'Sec-X-Tailscale-No-Browsers': 'setec',
      Authorization: `Bearer ${token}`,
    };
    const outgoing = request(`${url}/api/${method}`, { agent, method: 'POST', timeout: 30_000, headers });
    outgoing.once('response', (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`${method} answered ${response.statusCode}: ${text}`));
      });
    });
    outgoing.once('timeout', () => outgoing.destroy(new Error(`a ${method} took over 30 s`)));
    outgoing.once('error', reject);
    outgoing.end(JSON.stringify(body));
  });
}
