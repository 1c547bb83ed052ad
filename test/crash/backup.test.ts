import { randomInt } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from '@coffer/client';
import { describe, expect, onTestFinished, test } from 'vitest';

import { canary, expectNoCanary } from '../support/canary.mjs';
import { Process, TemporaryFolder } from '../support/processes.mjs';
import { coffer, cofferCommand } from '../support/servers.mjs';
import { clientOf, expectSoundAudit, launch, outcomeOf, urlOf } from './server.js';
import { ABSENT, chooseStep, matches, readState, type State } from './steps.js';

/** How many secrets there are under load; the long form has 100,000. */
const SECRETS = Number(process.env.BACKUP_SECRETS ?? 1_000);
/** How often each command is killed; CI's form is short. */
const KILLS = Number(process.env.BACKUP_KILLS ?? 5);
const WRITERS = 8;
const READERS = 8;
/** Secrets that change while the backup is made. */
const CHANGING = 200;

/** A folder with a backup's root key; gone after the test. */
function newFolder(): TemporaryFolder {
  const folder = new TemporaryFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  return folder;
}

/** With the root key of the folder, for a development server. */
const restoreArgs = (folder: TemporaryFolder, file: string, stateDir: string) => [
  ...['backup', 'restore', file, '--dev', '--state-dir', stateDir],
  ...['--root-key', `file:${folder.join('root.key')}`],
];

async function succeed(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await coffer(args);
  expect(stderr.toString(), args.join(' ')).toBe('');
  expect(code).toBe(0);
  return stdout.toString();
}

/** Runs `task` for every number below `count`, some at a time. */
async function forAll(count: number, task: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: 64 }, worker));
}

/** One state of a secret, and when its only writer asked for it and was told that it is so; of one clock. */
interface Moment {
  readonly state: State;
  readonly asked: number;
  acknowledged: number;
}

/** Changes the secrets, one change of each at a time, and remembers everything. */
class Writers {
  readonly histories: Map<string, Moment[]>;
  readonly #client: Client;
  #running = true;
  readonly #done: Promise<unknown>;

  constructor(client: Client, states: ReadonlyMap<string, State>) {
    this.#client = client;
    this.histories = new Map(
      Array.from(states, ([name, state]) => [name, [{ state, asked: 0, acknowledged: 0 }]]),
    );
    const names = [...states.keys()];
    this.#done = Promise.all(
      Array.from({ length: WRITERS }, (_, index) =>
        this.#write(names.filter((_name, at) => at % WRITERS === index)),
      ),
    );
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }

  async #write(names: readonly string[]): Promise<void> {
    while (this.#running) {
      const name = names[randomInt(names.length)] as string;
      const history = this.histories.get(name) as Moment[];
      const step = chooseStep(name, history.at(-1)?.state ?? ABSENT);
      const moment = { state: step.next, asked: performance.now(), acknowledged: Number.POSITIVE_INFINITY };
      history.push(moment);
      await step.call(this.#client);
      moment.acknowledged = performance.now();
    }
  }
}

/** Reads values until it is told to stop; how long each took, in milliseconds. */
async function read(client: Client, name: () => string, until: Promise<unknown>): Promise<number[]> {
  let running = true;
  void until.then(() => (running = false));
  const times: number[] = [];
  const reader = async () => {
    while (running) {
      const start = performance.now();
      await client.get(name());
      times.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: READERS }, reader));
  return times.sort((a, b) => a - b);
}

const summary = (times: readonly number[], milliseconds: number): string => {
  const at = (part: number) => (times[Math.floor(times.length * part)] ?? 0).toFixed(1);
  return `${Math.round((1000 * times.length) / milliseconds)} gets/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
};

describe('a backup under load', () => {
  test(`of ${SECRETS} secrets is one moment of what was acknowledged, and its readers are served`, async () => {
    const folder = newFolder();
    await using server = launch(folder);
    const url = await urlOf(server);
    const client = clientOf(url);
    const still = (index: number) => `still/${index}`;
    // Of some size, so that it takes more than a moment to read them all.
    const stillValue = (index: number) => canary(index).padEnd(4_000, '.');
    await forAll(SECRETS, (index) => client.put(still(index), Buffer.from(stillValue(index))));
    const states = new Map<string, State>();
    await forAll(CHANGING, async (index) => {
      const name = `changing/${index}`;
      const step = chooseStep(name, ABSENT);
      await step.call(client);
      states.set(name, step.next);
    });

    const anyStill = () => still(randomInt(SECRETS));
    const writers = new Writers(client, states);
    const quietTime = 1_500;
    const quiet = await read(client, anyStill, pause(quietTime));

    const begin = performance.now();
    const file = folder.join('backup');
    const made = outcomeOf(succeed(['-s', url, 'backup', 'create', '--json', file]));
    const busy = await read(client, anyStill, made);
    const end = performance.now();
    const outcome = await made;
    if (!('value' in outcome)) throw new Error(`the backup failed: ${outcome.code}`);
    await pause(100);
    await writers.stop();
    await server.stop();
    const { bytes } = JSON.parse(outcome.value) as { bytes: number };
    console.log(
      `backup of ${bytes} bytes in ${(end - begin).toFixed(0)} ms; before it ${summary(quiet, quietTime)}; ` +
        `meanwhile ${summary(busy, end - begin)}`,
    );
    const content = readFileSync(file);
    expect(content.length).toBe(bytes);
    expectNoCanary(content, 'the backup');
    expect(content.includes('changing/')).toBe(false);

    await succeed(restoreArgs(folder, file, folder.join('restored')));
    await using again = launch(folder, { stateDir: folder.join('restored') });
    const reader = clientOf(await urlOf(again));
    await forAll(SECRETS, async (index) => {
      const { value, version } = await reader.get(still(index));
      expect([Buffer.from(value).toString(), version]).toEqual([stillValue(index), 1]);
    });
    // Every secret is in a state that it had, none older than what was acknowledged before, none newer than what was asked
    // for in time; and there is one moment at which all of them were in these states.
    let earliest = begin;
    let latest = end;
    for (const [name, history] of writers.histories) {
      const found = await readState(reader, name);
      const possible = history.flatMap(({ state, asked }, index) => {
        const until = history[index + 1]?.acknowledged ?? Number.POSITIVE_INFINITY;
        return matches(found, state) && asked <= end && until >= begin ? [{ asked, until }] : [];
      });
      expect(possible.length, `${name} is in no state of its time: ${JSON.stringify(found)}`).toBeGreaterThan(
        0,
      );
      // Where a state came twice, the moments of either may be meant.
      earliest = Math.max(earliest, Math.min(...possible.map(({ asked }) => asked)));
      latest = Math.min(latest, Math.max(...possible.map(({ until }) => until)));
    }
    expect(earliest).toBeLessThanOrEqual(latest);
    const changes = [...writers.histories.values()].reduce((sum, { length }) => sum + length - 1, 0);
    expect(changes).toBeGreaterThan(20);
    const known = new Set([
      ...writers.histories.keys(),
      ...Array.from({ length: SECRETS }, (_, i) => still(i)),
    ]);
    for (const { name } of await reader.list()) expect(known.has(name), name).toBe(true);
    await expectSoundAudit(reader, folder.join('restored'));
    console.log(`${changes} changes around it; the moment lies within ${(latest - earliest).toFixed(1)} ms`);
  });
});

describe('kill -9', () => {
  /** A server with some megabytes in it. */
  async function stored(folder: TemporaryFolder): Promise<Process> {
    const server = launch(folder);
    const client = clientOf(await urlOf(server));
    const value = Buffer.from(canary('large').padEnd(100_000, '.'));
    await forAll(150, (index) => client.put(`large/${index}`, value));
    return server;
  }

  /** Starts a command and kills it within about the time that it takes. */
  async function kill(args: readonly string[], milliseconds: number): Promise<void> {
    const [command, rest] = cofferCommand(...args);
    const child = new Process(command, rest);
    await pause(randomInt(Math.ceil(milliseconds)));
    await child.kill();
  }

  async function timed(task: () => Promise<unknown>): Promise<number> {
    const start = performance.now();
    await task();
    return performance.now() - start;
  }

  test(`of backup create, ${KILLS} times, and of the server: a file under its name is whole`, async () => {
    const folder = newFolder();
    const server = await stored(folder);
    const create = (file: string) => [
      '-s',
      `unix:${folder.join('state', 'admin.sock')}`,
      'backup',
      'create',
      file,
    ];
    const verify = (file: string) =>
      succeed(['backup', 'verify', file, '--root-key', `file:${folder.join('root.key')}`]);
    const duration = await timed(() => succeed(create(folder.join('first'))));
    for (let round = 0; round < KILLS; round++) {
      const file = folder.join(`killed${round}`);
      await kill(create(file), duration * 1.2);
      if (existsSync(file)) await verify(file);
    }
    // The server notices that the reader is gone, and makes another one.
    const next = folder.join('next');
    await expect.poll(async () => (await coffer(create(next))).code, { timeout: 20_000 }).toBe(0);
    await verify(next);

    const interrupted = coffer(create(folder.join('interrupted')));
    await pause(randomInt(Math.ceil(duration)));
    await server.kill();
    const { code, stderr } = await interrupted;
    expect(stderr.toString()).toMatch(code === 0 ? /^$/ : /^coffer: [^\n]+\n$/);
    expect(existsSync(folder.join('interrupted'))).toBe(code === 0);
    await using again = launch(folder);
    await expectSoundAudit(clientOf(await urlOf(again)), folder.join('state'));
  });

  test(`of backup restore, ${KILLS} times: the state folder is absent or whole`, async () => {
    const folder = newFolder();
    const server = await stored(folder);
    const file = folder.join('backup');
    await succeed(['-s', await urlOf(server), 'backup', 'create', file]);
    await server.stop();
    const place = folder.join('place');
    const duration = await timed(() => succeed(restoreArgs(folder, file, place)));
    const expectWhole = async () => {
      await using restored = launch(folder, { stateDir: place });
      const reader = clientOf(await urlOf(restored));
      expect(await reader.list()).toHaveLength(150);
      await expectSoundAudit(reader, place);
    };
    await expectWhole();
    let whole = 0;
    for (let round = 0; round < KILLS; round++) {
      rmSync(place, { recursive: true, force: true });
      // Most of the time is node's own start.
      await kill(restoreArgs(folder, file, place), duration * 1.1);
      if (!existsSync(place)) continue;
      whole++;
      await expectWhole();
    }
    rmSync(place, { recursive: true, force: true });
    await succeed(restoreArgs(folder, file, place));
    await expectWhole();
    expect(readdirSync(folder.path).filter((name) => name.startsWith('place'))).toEqual(['place']);
    console.log(`${KILLS} restores killed: ${whole} were whole, the others had left nothing under the name`);
  });
});
