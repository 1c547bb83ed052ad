import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@coffer/client';
import { TemporaryFolder } from '../test/support/processes.mjs';
import { CofferServer, SetecServer } from '../test/support/servers.mjs';
import { CountingProxy } from './counting-proxy.mjs';
import { Crowd } from './crowd.mjs';
import { row } from './table.mjs';

const STORES = 1_000;
const PROCESSES = 4;
const TOKENS = 4;
/** Changes of secrets that one store holds, and of the one that all hold, in a run. */
const OWN_CHANGES = 200;
const SHARED_CHANGES = 10;
/** Before them. What is compiled on the way is not what is measured. */
const WARM_UP = 10;

/** How many stores' traffic is counted, and for how long they have nothing to do: two heartbeats each. */
const COUNTED = 100;
const IDLE_SECONDS = 30;
const HOUR = 3_600;
/** Polling so often is as fresh as pushing is to be. */
const POLL_SECONDS = 0.1;

const SHARED = 'stores/shared';
const own = (store) => `stores/own-${store}`;
/** Stores of a secret of its own each, and one that all hold. */
const holding = (count, tokens = []) =>
  Array.from({ length: count }, (_, store) => ({
    secrets: [own(store), SHARED],
    token: tokens[store % tokens.length],
  }));

/**
 * How soon programs see what an administrator activates, and what it costs the wire to learn that nothing changed. Copies of
 * one program share a token, so a quarter of the stores does here. Plain HTTP; the bytes are those of TCP's payload.
 */
export async function stores({ runs, progress }) {
  const folder = new TemporaryFolder();
  const config = folder.join('coffer.yaml');
  // All come from one address here, each with a connection to be told over and one to ask over.
  writeFileSync(config, 'limits: {connectionsPerAddress: 4096}\n');
  const server = await CofferServer.start({ folder, args: ['--config', config] });
  const admin = new Client({ server: server.socket });
  try {
    progress(`stores: making ${STORES + 1} secrets with two versions each`);
    await fill(admin, STORES);
    const tokens = await makeTokens(server);
    return [
      ...(await measureChanges({ server, admin, tokens, runs, progress })),
      ...(await measureTraffic({ server, tokens, progress })),
    ];
  } finally {
    admin.close();
    await server.stop();
    folder[Symbol.dispose]();
  }
}

async function measureChanges({ server: { url }, admin, tokens, runs, progress }) {
  const active = new Map();
  const change = (crowd, name, holders) => {
    const version = active.get(name) === 2 ? 1 : 2;
    active.set(name, version);
    return crowd.change({ name, version, holders }, () => admin.activate(name, version));
  };
  const changes = async (count, make) => {
    const times = [];
    for (let i = 0; i < count; i++) times.push(...(await make(i)));
    return times;
  };
  progress('stores: changes that the only store holds');
  const one = { url, stores: holding(1, tokens) };
  const alone = await withCrowd(one, async (crowd) => {
    await changes(WARM_UP, () => change(crowd, own(0), 1));
    return changes(OWN_CHANGES, () => change(crowd, own(0), 1));
  });
  progress(`stores: opening ${STORES} in ${PROCESSES} processes`);
  const [ownTimes, sharedTimes] = [[], []];
  await withCrowd({ url, stores: holding(STORES, tokens), processes: PROCESSES }, async (crowd) => {
    await changes(WARM_UP, () => change(crowd, SHARED, STORES));
    for (let run = 0; run < runs; run++) {
      progress('stores: changes that one of them holds');
      ownTimes.push(await changes(OWN_CHANGES, (i) => change(crowd, own((run + i * 7) % STORES), 1)));
      progress('stores: changes that all of them hold');
      sharedTimes.push(await changes(SHARED_CHANGES, () => change(crowd, SHARED, STORES)));
    }
  });
  const compare = (what, times, part, target) => {
    const ours = times.map((run) => percentile(run, part));
    return row(what, 'ms', ours, [percentile(alone, part)], target);
  };
  return [
    compare(`${STORES} stores, activate until the one that holds it has it (peer: 1 store)`, ownTimes, 0.5),
    compare('  99th percentile', ownTimes, 0.99, { value: 'at most', of: 100 }),
    compare(`${STORES} stores, activate until all have it (peer: 1 store)`, sharedTimes, 0.5),
    compare('  99th percentile', sharedTimes, 0.99, { value: 'at most', of: 500 }),
  ];
}

async function measureTraffic({ server, tokens, progress }) {
  progress(`stores: what ${COUNTED} send and receive in ${IDLE_SECONDS} s of nothing`);
  const ours = await countTraffic(server.url, { tokens }, async (proxy, crowd) => ({
    idle: await proxy.during(() => delay(IDLE_SECONDS * 1_000)),
    poll: await proxy.during(() => crowd.poll()),
  }));
  progress('stores: what it takes to poll a setec server');
  const setec = await SetecServer.start();
  const filler = new Client({ server: setec.url });
  try {
    await fill(filler, COUNTED);
    const theirs = await countTraffic(setec.url, { watch: false }, (proxy, crowd) =>
      proxy.during(() => crowd.poll()),
    );
    const all = STORES / COUNTED;
    const pushed = (key) => (ours.idle[key] * (HOUR / IDLE_SECONDS) + ours.poll[key]) * all;
    const polled = (key) => ours.poll[key] * (HOUR / POLL_SECONDS) * all;
    const compare = (what, unit, key, peer, size = 1) => row(what, unit, [pushed(key) / size], [peer / size]);
    const often = `peer: polling every ${POLL_SECONDS * 1_000} ms`;
    const hourly = 'peer: polling setec hourly';
    return [
      compare(
        `${STORES} idle stores (${COUNTED} in ${IDLE_SECONDS} s, scaled), requests (${often})`,
        '/h',
        'requests',
        polled('requests'),
      ),
      compare('  bytes', 'MB/h', 'bytes', polled('bytes'), 1e6),
      compare(`  requests (${hourly})`, '/h', 'requests', theirs.requests * all),
      compare('  bytes', 'MB/h', 'bytes', theirs.bytes * all, 1e6),
    ];
  } finally {
    filler.close();
    await setec.stop();
  }
}

/** Each secret has a second version, so that a change is only a matter of which is active. */
async function fill(client, count) {
  const names = [SHARED, ...Array.from({ length: count }, (_, store) => own(store))];
  const work = async () => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      for (const which of ['first', 'second'])
        await client.put(name, Buffer.from(`${which} value of ${name}`));
    }
  };
  await Promise.all(Array.from({ length: 32 }, work));
}

async function makeTokens(server) {
  const made = [];
  for (let i = 0; i < TOKENS; i++) made.push(await server.createToken(`program-${i}`));
  const to = made.map(({ principal }) => principal);
  await server.applyPolicy([{ to, actions: ['get'], secrets: ['stores/*'] }]);
  return made.map(({ token }) => token);
}

async function countTraffic(url, { tokens, watch }, count) {
  const proxy = await CountingProxy.start(url);
  try {
    const options = { url: proxy.url, stores: holding(COUNTED, tokens), watch };
    return await withCrowd(options, (crowd) => count(proxy, crowd));
  } finally {
    proxy.stop();
  }
}

async function withCrowd(options, use) {
  const crowd = await Crowd.open(options);
  try {
    return await use(crowd);
  } finally {
    await crowd.stop();
  }
}

function percentile(values, part) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)];
}
