import { createKeyPair, encodeWascap } from '@coffer/identity';
import { NatsServer } from '../test/support/nats.mjs';
import {
  CofferBackend,
  newSeeds,
  SecretsNatsKvServer,
  secretsNatsKv,
  WasmcloudClient,
} from '../test/support/wasmcloud.mjs';
import { keeping } from './keeping.mjs';
import { residentMegabytes } from './machine.mjs';
import { row } from './table.mjs';

const IN_FLIGHT = 32;
/** Of secrets that are asked for in turn. */
const KEYS = 16;

/**
 * Gets over NATS, beside wasmCloud's own secrets-nats-kv on the same nats-server: by wasmCloud's own client library, with a key
 * made for each request, in one process. Both are filled by secrets-nats-kv's commands.
 */
export const wasmcloud = (options) => keeping((keep) => compareBackends(keep, options));

async function compareBackends(keep, { runs, seconds, progress }) {
  const [account, component, host] = ['account', 'component', 'server'].map((kind) => createKeyPair(kind));
  const tokens = {
    entity_jwt: encodeWascap(
      { sub: component.publicKey, wascap: { name: 'bench', hash: '00', tags: [] } },
      account,
    ),
    host_jwt: encodeWascap({ sub: host.publicKey, wascap: { name: 'host' } }, host),
  };
  const nats = await keep(NatsServer.start());
  const seeds = newSeeds();
  const trusting = ['--trusted-account', account.publicKey];
  const open = ['--allow-open-nats', '--allow-unauthenticated-admin'];
  const ours = await keep(CofferBackend.start({ nats, seeds, args: [...trusting, ...open] }));
  const peerPrefix = 'peer.secrets';
  const args = ['-s', peerPrefix];
  const { transit: transitSeed, encryption: encryptionSeed } = seeds;
  const theirs = await keep(SecretsNatsKvServer.start({ url: nats.url, transitSeed, encryptionSeed, args }));
  const sides = [
    { name: 'coffer', process: ours.process, prefix: 'wasmcloud.secrets', seen: [] },
    { name: 'secrets-nats-kv', process: theirs.process, prefix: peerPrefix, seen: [] },
  ];
  for (const { prefix } of sides) await fill({ nats, transitSeed, prefix, entity: component.publicKey });
  const client = await keep(new WasmcloudClient(nats.url));
  const measure = async ({ prefix, process }, span) => {
    const request = { key: 'bench-', keys: KEYS, prefix, ...tokens, in_flight: IN_FLIGHT, seconds: span };
    const { result, megabytes } = await residentMegabytes(process.pid, () => client.bench(request));
    if (Object.keys(result.others).length > 0) throw new Error(`${prefix}: ${result.first_error}`);
    return { ...result, megabytes };
  };
  // What is compiled on the way is not what is measured.
  for (const side of sides) await measure(side, 1);
  for (let i = 0; i < runs; i++) {
    for (const side of sides) {
      progress(`wasmCloud gets, ${IN_FLIGHT} in flight: ${side.name}`);
      side.seen.push(await measure(side, seconds));
    }
  }
  const compare = (what, unit, key, target) => {
    const [our, their] = sides.map(({ seen }) => seen.map((one) => one[key]));
    return row(what, unit, our, their, target);
  };
  const gets = `wasmCloud gets, ${IN_FLIGHT} in flight (peer: secrets-nats-kv 0.2)`;
  return [
    compare(gets, '/s', 'rate', { ratio: 'at least', of: 4 }),
    compare('  median', 'ms', 'median_ms'),
    compare('  99th percentile', 'ms', 'p99_ms', { ratio: 'at most', of: 0.5 }),
    compare('  resident memory under this load, at most', 'MB', 'megabytes', { value: 'at most', of: 150 }),
  ];
}

async function fill({ nats, transitSeed, prefix, entity }) {
  const target = { url: nats.url, transitSeed };
  const names = Array.from({ length: KEYS }, (_, number) => `bench-${number}`);
  for (const name of names) {
    await must(secretsNatsKv(['put', '-s', prefix, name, '--string', `value of ${name}`], target));
  }
  const mapped = names.flatMap((name) => ['--secret', name]);
  await must(secretsNatsKv(['add-mapping', '-s', prefix, entity, ...mapped], target));
}

async function must(finished) {
  const { code, stderr } = await finished;
  if (code !== 0) throw new Error(`secrets-nats-kv failed: ${stderr}`);
}
