/**
 * Measures coffer against the real setec server on this machine; prints medians, ratios, targets and conditions, and
 * exits 1 when a target is missed.
 *
 *   npm run bench                          everything, five runs (about ten minutes)
 *   npm run bench -- --parts get,put       only some of: get, put, scale, open, cli, rotation, identity,
 *                                          wasmcloud, stores
 *   npm run bench -- --runs 1 --seconds 2
 *
 * Both servers write every access to their audit logs before they answer; coffer also checks a bearer token and its
 * grants. State folders lie in the system's temporary folder (TMPDIR moves them: it should be on a disk). Needs
 * `test/peers/install.sh setec nats wrk secrets-nats-kv wasmcloud-client`. Nothing leaves the loopback interface.
 */
import { parseArgs } from 'node:util';
import { busy, conditions } from './machine.mjs';
import { PARTS } from './parts.mjs';
import { Servers } from './servers.mjs';
import { render } from './table.mjs';

// Leaving this way kills the servers and removes their folders.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

try {
  process.exitCode = (await bench(readOptions())) ? 0 : 1;
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      parts: { type: 'string', default: Object.keys(PARTS).join(',') },
      runs: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '5' },
    },
  });
  const parts = values.parts.split(',');
  const unknown = parts.find((part) => !(part in PARTS));
  if (unknown !== undefined) {
    throw new Error(`there is no part '${unknown}'; the parts are ${Object.keys(PARTS).join(', ')}`);
  }
  const [runs, seconds] = [Number(values.runs), Number(values.seconds)];
  if (!(runs >= 1 && runs <= 100) || !(seconds >= 1 && seconds <= 600)) {
    throw new Error('--runs takes 1 to 100, --seconds 1 to 600');
  }
  return { parts, runs, seconds };
}

/** Measures, prints, and tells whether every target was met. */
async function bench({ parts, runs, seconds }) {
  const servers = new Servers();
  const busyBefore = busy();
  const progress = (text) => console.error(`… ${text}`);
  try {
    const rows = [];
    for (const part of parts) rows.push(...(await PARTS[part]({ servers, runs, seconds, progress })));
    console.log(`\n${render(rows)}\n`);
    for (const line of await conditions(busyBefore)) console.log(line);
    console.log(`medians of ${runs} interleaved run(s) of ${seconds} s`);
    return rows.every(({ met }) => met !== false);
  } finally {
    await servers.stop();
  }
}
