import { fork } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { startTestServer } from '@coffer/testing';
import { expect, onTestFinished, test } from 'vitest';
import { FaultProxy } from './fault-proxy.js';

/** How many updates a store takes; STORE_UPDATES lengthens it, and has the memory printed. */
const UPDATES = Number(process.env.STORE_UPDATES ?? 4_000);
const SECRETS = 20;
const MEASURED = 8;
const ROUNDS = Math.ceil(UPDATES / SECRETS / MEASURED);
/** Connections are cut after so many rounds: not so often that the watch pauses for long. */
const CUT = Math.max(60, Math.ceil((ROUNDS * MEASURED) / 5));
/** What a collector that has not come to everything leaves, in bytes. */
const FLAT = 1_500_000;

interface Memory {
  readonly updates: number;
  readonly heapUsed: number;
  readonly arrayBuffers: number;
  readonly rss: number;
}

test(`the memory of a store stays as it is over ${UPDATES} updates, cuts and failing polls`, {
  timeout: 3_600_000,
}, async () => {
  const names = Array.from({ length: SECRETS }, (_, number) => `s/${number}`);
  await using server = await startTestServer();
  for (const version of [1, 2]) {
    await Promise.all(names.map((name) => server.mustPut(name, `${version}`.repeat(1_000))));
  }
  await using proxy = await FaultProxy.open(server.url);
  const child = fork(
    fileURLToPath(new URL('memory-child.mjs', import.meta.url)),
    [proxy.url, server.token, ...names],
    { execArgv: ['--expose-gc'], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  const said = child.stderr ? text(child.stderr) : '';
  const exit = once(child, 'exit');
  const told = async (): Promise<Memory> => {
    const [message] = await Promise.race([once(child, 'message'), exit]);
    if (message !== null && typeof message === 'object') return message;
    throw new Error(`the program ended: ${await said}`);
  };
  await told();

  let round = 0;
  const memory: Memory[] = [];
  for (let point = 0; point < MEASURED; point++) {
    for (const end = round + ROUNDS; round < end; ) {
      const version = (round % 2) + 1 === 1 ? 2 : 1;
      await Promise.all(names.map((name) => server.mustActivate(name, version)));
      round++;
      if (round % CUT === 0) proxy.cut();
      child.send({ until: round * SECRETS, measure: round === end });
      const now = await told();
      if (round === end) memory.push(now);
    }
  }
  await server.stop();
  for (let point = 0; point < 4; point++) {
    child.send({ polls: UPDATES / 8 });
    memory.push(await told());
  }
  child.disconnect();
  const [code] = await exit;
  expect({ code, said: await said }).toEqual({ code: 0, said: '' });
  if (process.env.STORE_UPDATES) console.table(memory.map(inMegabytes));
  // The first points are those of code that is compiled and buffers that are made.
  for (const [first, last] of [
    [memory[1], memory[MEASURED - 1]],
    [memory[MEASURED], memory.at(-1)],
  ] as [Memory, Memory][]) {
    expect(last.heapUsed + last.arrayBuffers - first.heapUsed - first.arrayBuffers).toBeLessThan(FLAT);
  }
});

const inMegabytes = ({ updates, heapUsed, arrayBuffers, rss }: Memory) => ({
  updates,
  heap: (heapUsed / 1e6).toFixed(2),
  buffers: (arrayBuffers / 1e6).toFixed(2),
  rss: (rss / 1e6).toFixed(1),
});
