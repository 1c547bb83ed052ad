import { spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from '../test/support/processes.mjs';
import { CofferServer, cofferCommand, peer, SetecServer } from '../test/support/servers.mjs';
import { identity } from './identity.mjs';
import { instances } from './instances.mjs';
import { kubernetes } from './kubernetes.mjs';
import { load } from './load.mjs';
import { residentMegabytes } from './machine.mjs';
import { stores } from './stores.mjs';
import { median, row } from './table.mjs';
import { vault } from './vault.mjs';
import { wasmcloud } from './wasmcloud.mjs';

/**
 * What is measured. Each takes `{servers, runs, seconds, progress}` and returns rows for the table; within a run the
 * two sides take turns, so that a machine that slows down slows both.
 */
export const PARTS = {
  get,
  put,
  scale,
  open,
  cli,
  rotation,
  identity,
  wasmcloud,
  vault,
  kubernetes,
  stores,
  instances,
};

/** Programs beside our own that a part runs. */
const NEEDED = {
  get: ['wrk', 'setec-server'],
  put: ['wrk', 'setec-server'],
  scale: ['wrk'],
  open: ['setec-server'],
  rotation: ['wrk'],
  identity: ['nats-jwt'],
  wasmcloud: ['nats-server', 'secrets-nats-kv', 'wasmcloud-client'],
  vault: ['vault', 'nats-server', 'wasmcloud-client'],
  kubernetes: ['kube-apiserver', 'etcd'],
  stores: ['setec-server'],
  instances: ['wrk', 'nats-server', 'secrets-nats-kv', 'wasmcloud-client'],
};

/** Those of them that are not installed. */
export function missingFor(part) {
  return (NEEDED[part] ?? []).filter((name) => {
    if (name === 'wrk') return spawnSync('wrk', ['--version']).error !== undefined;
    try {
      return !peer(name);
    } catch {
      return true;
    }
  });
}

async function get({ servers, runs, seconds, progress }) {
  const sides = [await servers.coffer(10_000), await servers.setec(10_000)];
  const results = sides.flatMap(({ name }) =>
    [16, 64].map((connections) => ({ name, connections, seen: [] })),
  );
  for (let i = 0; i < runs; i++) {
    for (const connections of [16, 64]) {
      for (const side of sides) {
        progress(`get, ${connections} connections: ${side.name}`);
        const { result, megabytes } = await residentMegabytes(side.server.process.pid, () =>
          load(side, { script: 'get', connections, seconds, args: [10_000] }),
        );
        results
          .find((one) => one.name === side.name && one.connections === connections)
          .seen.push({ ...result, megabytes });
      }
    }
  }
  const of = (name, key, ...connections) =>
    results
      .filter((one) => one.name === name && connections.includes(one.connections))
      .flatMap(({ seen }) => seen.map((result) => result[key]));
  const compare = (what, unit, key, connections, target) =>
    row(what, unit, of('coffer', key, ...connections), of('setec', key, ...connections), target);
  return [
    compare('get at 10,000 secrets, 16 connections', '/s', 'throughput', [16], { ratio: 'at least', of: 2 }),
    compare('get at 10,000 secrets, 64 connections', '/s', 'throughput', [64], { ratio: 'at least', of: 3 }),
    compare('  99th percentile, 16 connections', 'ms', 'p99', [16], { ratio: 'at most', of: 1.25 }),
    compare('  99th percentile, 64 connections', 'ms', 'p99', [64], { ratio: 'at most', of: 0.5 }),
    compare('  resident memory under this load, at most', 'MB', 'megabytes', [16, 64], {
      value: 'at most',
      of: 200,
    }),
  ];
}

async function put({ servers, runs, seconds, progress }) {
  const sides = [await servers.coffer(10_000), await servers.setec(10_000)];
  const results = { coffer: [], setec: [] };
  for (let i = 0; i < runs; i++) {
    for (const side of sides) {
      progress(`put, 16 connections: ${side.name}`);
      results[side.name].push(
        await load(side, { script: 'put', connections: 16, seconds, args: [10_000, i] }),
      );
    }
  }
  const compare = (what, unit, key, target) => {
    const [ours, theirs] = [results.coffer, results.setec].map((seen) => seen.map((result) => result[key]));
    return row(what, unit, ours, theirs, target);
  };
  return [
    compare('put at 10,000 secrets, 16 connections', '/s', 'throughput', { ratio: 'at least', of: 50 }),
    compare('  99th percentile', 'ms', 'p99'),
  ];
}

async function scale({ servers, runs, seconds, progress }) {
  const sides = [];
  for (const secrets of [1_000, 100_000]) {
    progress(`filling coffer with ${secrets} secrets`);
    sides.push({ secrets, side: await servers.coffer(secrets), seen: [] });
  }
  for (let i = 0; i < runs; i++) {
    for (const { secrets, side, seen } of sides) {
      progress(`get, 16 connections: coffer with ${secrets} secrets`);
      seen.push((await load(side, { script: 'get', connections: 16, seconds, args: [secrets] })).throughput);
    }
  }
  const [small, large] = sides;
  const target = { ratio: 'at least', of: 0.8 };
  return [
    row(
      'get at 100,000 secrets, 16 connections (peer: coffer at 1,000)',
      '/s',
      large.seen,
      small.seen,
      target,
    ),
  ];
}

async function open({ servers, runs, progress }) {
  progress('filling coffer with 100000 secrets');
  const filled = await servers.coffer(100_000);
  await filled.server.stop();
  const times = { coffer: [], setec: [] };
  for (let i = 0; i < runs; i++) {
    progress('opening 100,000 secrets');
    const start = performance.now();
    const opened = await CofferServer.start({ folder: filled.folder });
    times.coffer.push(performance.now() - start);
    await opened.stop();
    const setec = await SetecServer.start({ preload: 100_000 });
    times.setec.push(setec.openMilliseconds);
    await setec.stop();
  }
  const target = { value: 'at most', of: 2_000 };
  return [
    row(
      'open 100,000 secrets: process start to serving (peer: its database)',
      'ms',
      times.coffer,
      times.setec,
      target,
    ),
  ];
}

async function cli({ servers, runs, progress }) {
  const { url, token } = await servers.coffer(1_000);
  const times = { coffer: [], node: [] };
  const timed = async (seen, command, args) => {
    const start = performance.now();
    const { code, stderr } = await run(command, args, { env: { COFFER_SERVER: url, COFFER_TOKEN: token } });
    seen.push(performance.now() - start);
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${stderr}`);
  };
  progress('coffer get, the whole process');
  for (let i = 0; i < runs * 4; i++) {
    await timed(times.coffer, ...cofferCommand('get', 'bench/7'));
    await timed(times.node, process.execPath, ['-e', '0']);
  }
  const target = { value: 'at most', of: 150 };
  return [row('coffer get, the whole process (peer: node -e 0)', 'ms', times.coffer, times.node, target)];
}

/** Readers while all records are re-encrypted under a new data key, against the same server at rest. */
async function rotation({ servers, runs, seconds, progress }) {
  progress('filling coffer with 100000 secrets');
  const filled = await servers.coffer(100_000);
  const reading = { script: 'get', connections: 16, seconds, args: [100_000] };
  const results = { quiet: [], rotating: [] };
  const measure = async (seen) => seen.push(await load(filled, reading));
  const totals = [];
  for (let i = 0; i < runs; i++) {
    progress('get at rest');
    await measure(results.quiet);
    progress('get while all records are re-encrypted');
    const start = performance.now();
    await filled.server.rotateDataKey();
    await measure(results.rotating);
    if (!(await filled.server.isRotating())) {
      throw new Error(`the rotation was over before the ${seconds} s of load were: give fewer --seconds`);
    }
    while (await filled.server.isRotating()) await delay(250);
    totals.push((performance.now() - start) / 1000);
  }
  progress(`a rotation took ${median(totals).toFixed(1)} s, of which ${seconds} s under load`);
  const compare = (what, unit, key, target) => {
    const [ours, theirs] = [results.rotating, results.quiet].map((seen) => seen.map((one) => one[key]));
    return row(what, unit, ours, theirs, target);
  };
  const target = { ratio: 'at least', of: 0.7 };
  return [
    compare('get at 100,000 secrets during a rotation (peer: at rest)', '/s', 'throughput', target),
    compare('  99th percentile', 'ms', 'p99'),
  ];
}
