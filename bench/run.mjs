/**
 * Measures coffer against the real setec server on this machine; prints medians, ratios, targets and conditions, and
 * exits 1 when a target is missed.
 *
 *   npm run bench                          everything, five runs (about ten minutes)
 *   npm run bench -- --parts get,put       only some of: get, put, scale, open, cli, rotation, identity,
 *                                          wasmcloud, vault, kubernetes, stores, instances
 *   npm run bench -- --runs 1 --seconds 2
 *   npm run bench -- --help
 *
 * Both servers write every access to their audit logs before they answer; coffer also checks a bearer token and its
 * grants. State folders lie in the system's temporary folder (TMPDIR moves them: it should be on a disk). Needs
 * `test/peers/install.sh setec nats wrk secrets-nats-kv wasmcloud-client vault kube`, and says what of it the parts lack before it begins. Nothing leaves the loopback interface.
 */
import { parseArgs } from 'node:util';
import { busy, conditions } from './machine.mjs';
import { missingFor, PARTS } from './parts.mjs';
import { Servers } from './servers.mjs';
import { render } from './table.mjs';

const HELP = `usage: npm run bench -- [--parts PART,…] [--runs N] [--seconds N]

  --parts     some of ${Object.keys(PARTS).join(', ')}; default all
  --runs      how often each is measured, 1 to 100; default 5. Medians are shown
  --seconds   how long each load lasts, 1 to 600; default 5

Prints medians, ratios, targets and conditions; ends with 1 when a target is missed or a part failed.`;

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
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const parts = values.parts.split(',');
  const unknown = parts.find((part) => !(part in PARTS));
  if (unknown !== undefined) {
    throw new Error(`there is no part '${unknown}'; the parts are ${Object.keys(PARTS).join(', ')}`);
  }
  const missing = [...new Set(parts.flatMap(missingFor))];
  if (missing.length > 0) {
    throw new Error(`${missing.join(', ')} not installed: run test/peers/install.sh, as .ci/run does`);
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
    let failed = false;
    for (const part of parts) {
      try {
        rows.push(...(await PARTS[part]({ servers, runs, seconds, progress })));
      } catch (error) {
        failed = true;
        console.error(`bench: ${part}: ${error.message}`);
      }
    }
    if (rows.length > 0) console.log(`\n${render(rows)}\n`);
    for (const line of await conditions(busyBefore)) console.log(line);
    console.log(`medians of ${runs} interleaved run(s) of ${seconds} s`);
    return !failed && rows.every(({ met }) => met !== false);
  } finally {
    await servers.stop();
  }
}
