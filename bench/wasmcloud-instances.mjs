import { setTimeout as delay } from 'node:timers/promises';
import { createKeyPair, encodeWascap } from '@coffer/identity';
import { NatsCluster } from '../test/support/cluster.mjs';
import { CofferInstance } from '../test/support/instances.mjs';
import { NatsServer } from '../test/support/nats.mjs';
import { coffer } from '../test/support/servers.mjs';
import { newSeeds, SecretsNatsKvServer, secretsNatsKv, WasmcloudClient } from '../test/support/wasmcloud.mjs';
import { processorTime } from './machine.mjs';
import { row } from './table.mjs';

const IN_FLIGHT = 32;
const KEYS = 16;
const PEER = 'peer.secrets';
/** Seconds for which both sides are loaded first: two processes take as many requests more until what serves them is compiled. */
const WARM = 10;

/**
 * Gets over NATS from two instances that share a store in JetStream, beside two of secrets-nats-kv on the same nats-server; hosts as in
 * wasmcloud.mjs.
 */
export async function wasmcloudInstances(keep, { runs, seconds, progress }) {
  progress('two instances of the NATS door, and two of secrets-nats-kv');
  const [account, component, host] = ['account', 'component', 'server'].map((kind) => createKeyPair(kind));
  const wascap = { name: 'bench', hash: '00', tags: [] };
  const tokens = {
    entity_jwt: encodeWascap({ sub: component.publicKey, wascap }, account),
    host_jwt: encodeWascap({ sub: host.publicKey, wascap: { name: 'host' } }, host),
  };
  const nats = await keep(NatsServer.start());
  const { cluster, instances } = await startOurs(keep, nats, account);
  const { transit: transitSeed, encryption: encryptionSeed } = newSeeds();
  const theirs = [];
  for (let count = 0; count < 2; count++) {
    const args = ['-s', PEER];
    theirs.push(await keep(SecretsNatsKvServer.start({ url: nats.url, transitSeed, encryptionSeed, args })));
  }
  const client = await keep(new WasmcloudClient(nats.url));
  const requests = { key: 'bench-', keys: KEYS, ...tokens, in_flight: IN_FLIGHT };
  const sides = [
    {
      name: 'coffer',
      prefix: 'wasmcloud.secrets',
      processes: [...instances.map(({ server }) => server), nats, ...cluster.servers],
      seen: [],
    },
    { name: 'secrets-nats-kv', prefix: PEER, processes: [...theirs, nats], seen: [] },
  ];
  await fillTheirs({ url: nats.url, transitSeed }, component.publicKey);
  await fillOurs(nats.url, component.publicKey);
  const measure = async ({ prefix, processes }, span) => {
    const pids = processes.map(({ process }) => process.pid);
    const { result, microseconds } = await processorTime(pids, () =>
      client.bench({ ...requests, prefix, seconds: span }),
    );
    if (Object.keys(result.others).length > 0) throw new Error(`${prefix}: ${result.first_error}`);
    return { ...result, microseconds: microseconds / result.answered };
  };
  // What is compiled on the way is not what is measured.
  for (const side of sides) await measure(side, WARM);
  for (let run = 0; run < runs; run++) {
    for (const side of sides) {
      progress(`wasmCloud gets from two instances, ${IN_FLIGHT} in flight: ${side.name}`);
      side.seen.push(await measure(side, seconds));
    }
  }
  const compare = (what, unit, key, target) => {
    const [our, their] = sides.map(({ seen }) => seen.map((one) => one[key]));
    return row(what, unit, our, their, target);
  };
  return [
    compare(
      `wasmCloud gets, two instances, ${IN_FLIGHT} in flight (peer: two of secrets-nats-kv)`,
      '/s',
      'rate',
      {
        ratio: 'at least',
        of: 4,
      },
    ),
    compare('  99th percentile', 'ms', 'p99_ms'),
    compare('  processor time of a get, backends and nats-servers', 'µs', 'microseconds'),
  ];
}

async function startOurs(keep, nats, account) {
  const cluster = await keep(NatsCluster.start({ size: 1, auth: 'operator', direct: true }));
  const config = {
    nats: { servers: [nats.url], allowOpen: true },
    trust: { accounts: [account.publicKey] },
    wasmcloud: { allowUnauthenticatedAdmin: true },
    // Hosts get the same few secrets as fast as they can.
    limits: { principalRequestsPerSecond: 1_000_000 },
  };
  const instances = [];
  for (const name of ['a', 'b']) {
    const like = instances[0];
    const instance = await keep(CofferInstance.prepare({ cluster, name, like, direct: true, config }));
    await instance.start();
    instances.push(instance);
  }
  return { cluster, instances };
}

const NAMES = Array.from({ length: KEYS }, (_, number) => `bench-${number}`);

/** The peer's by its own commands. */
async function fillTheirs({ url, transitSeed }, entity) {
  for (const name of NAMES) {
    const args = ['put', '-s', PEER, name, '--string', `value of ${name}`];
    await must(secretsNatsKv(args, { url, transitSeed }));
  }
  await map(url, PEER, entity);
}

/** Ours by the CLI, which asks the backend for its transit key, as soon as its door is open. */
async function fillOurs(url, entity) {
  const put = (name) =>
    coffer(['wasmcloud', 'put', name, '--nats-address', url], {
      env: { SECRET_STRING_VALUE: `value of ${name}` },
    });
  for (let attempt = 0; attempt < 50 && (await put(NAMES[0])).code !== 0; attempt++) await delay(200);
  for (const name of NAMES) await must(put(name));
  await map(url, 'wasmcloud.secrets', entity);
}

async function map(url, prefix, entity) {
  const secrets = NAMES.flatMap((name) => ['--secret', name]);
  await must(secretsNatsKv(['add-mapping', '-s', prefix, entity, ...secrets], { url }));
}

async function must(finished) {
  const { code, stderr } = await finished;
  if (code !== 0) throw new Error(`a command failed: ${stderr}`);
}
