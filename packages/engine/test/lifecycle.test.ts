import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { CofferError, Engine } from '../src/index.js';
import { admin, bytes, codeOf, openEngine, temporaryFolder, text } from './support.js';

interface Answer {
  readonly opened?: true;
  readonly version?: number;
  readonly code?: string;
  readonly message?: string;
}

/** A process that is ready to open a store; killed after the test. */
async function starter(): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL('starter.mjs', import.meta.url)));
  onTestFinished(() => kill(child));
  await once(child, 'message');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function ask(child: ChildProcess, message: { folder: string } | { put: string }): Promise<Answer> {
  const answered = once(child, 'message');
  child.send(message);
  return (await answered)[0] as Answer;
}

const messageOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: CofferError) => error.message,
  );

describe('a state folder in use', () => {
  it('is refused to a second engine with a sentence that names the first', async () => {
    const { folder, stateDir } = await openEngine();
    expect(await codeOf(openEngine(folder))).toBe('store_locked');
    const sentence = await messageOf(openEngine(folder));
    expect(sentence).toMatch(`process ${process.pid}, running since 20`);
    expect(sentence).toContain(stateDir);
    expect(sentence).toMatch(/stop that server first, or give this one another --state-dir/);
  });

  it('is refused to another process as well', async () => {
    const { folder } = await openEngine();
    const answer = await ask(await starter(), { folder });
    expect(answer.code).toBe('store_locked');
    expect(answer.message).toMatch(`process ${process.pid}, running since 20`);
  });

  it('by another process is refused here, however often it is tried', async () => {
    const folder = await temporaryFolder();
    const owner = await starter();
    expect(await ask(owner, { folder })).toEqual({ opened: true });
    for (let attempt = 0; attempt < 3; attempt++) {
      expect(await messageOf(openEngine(folder))).toMatch(`process ${owner.pid}`);
    }
    expect(await ask(owner, { put: 'a' })).toEqual({ version: 1 });
  });

  it('by a process that stands still is refused too', async () => {
    const folder = await temporaryFolder();
    const owner = await starter();
    await ask(owner, { folder });
    owner.kill('SIGSTOP');
    expect(await messageOf(openEngine(folder))).toMatch(/in use by a process that does not answer/);
    owner.kill('SIGCONT');
    expect(await ask(owner, { put: 'a' })).toEqual({ version: 1 });
  });

  it('may be opened again when the first has closed it', async () => {
    const { engine, folder } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    await engine.close();
    expect(await ask(await starter(), { folder })).toEqual({ opened: true });
  });

  it('stays its new owner’s when the old one closes once more', async () => {
    const { engine: first, folder } = await openEngine();
    await first.close();
    await openEngine(folder);
    await first.close();
    await first[Symbol.asyncDispose]();
    expect(await codeOf(openEngine(folder))).toBe('store_locked');
  });

  it('is free again after an opening that failed', async () => {
    const { engine, folder } = await openEngine();
    await engine.close();
    for (let attempt = 0; attempt < 3; attempt++) {
      expect(await codeOf(openEngine(folder, { development: true }))).toBe('development_store');
    }
    await openEngine(folder);
  });

  it('is told apart from others of the same process', async () => {
    const stores = await Promise.all([openEngine(), openEngine(), openEngine()]);
    expect(new Set(stores.map(({ engine }) => engine.storeId)).size).toBe(3);
  });
});

describe('after kill -9', () => {
  it('the lock is taken over, and what was acknowledged is there', async () => {
    const folder = await temporaryFolder();
    for (const name of ['a', 'b', 'c']) {
      const child = await starter();
      expect(await ask(child, { folder })).toEqual({ opened: true });
      expect(await ask(child, { put: name })).toEqual({ version: 1 });
      await kill(child);
    }
    const { engine } = await openEngine(folder);
    expect((await engine.list(admin)).map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(text((await engine.get(admin, 'c')).value)).toBe('value');
  });
});

describe('of many that start at the same moment exactly one opens the store', () => {
  const ROUNDS = 4;
  const STARTERS = 6;

  /** Lets all starters open the folder at once; answers how many did. */
  async function race(folder: string, starters: ChildProcess[]): Promise<number> {
    const answers = await Promise.all(starters.map((child) => ask(child, { folder })));
    const refused = answers.filter(({ opened }) => !opened);
    expect(refused.map(({ code }) => code)).toEqual(refused.map(() => 'store_locked'));
    return answers.length - refused.length;
  }

  it('if it is new', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const starters = await Promise.all(Array.from({ length: STARTERS }, starter));
      expect(await race(await temporaryFolder(), starters)).toBe(1);
      await Promise.all(starters.map(kill));
    }
  });

  it('if its last owner was killed', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const [owner, ...starters] = await Promise.all(Array.from({ length: STARTERS + 1 }, starter));
      const folder = await temporaryFolder();
      await ask(owner as ChildProcess, { folder });
      await kill(owner as ChildProcess);
      expect(await race(folder, starters)).toBe(1);
      expect(await codeOf(openEngine(folder))).toBe('store_locked');
      await Promise.all(starters.map(kill));
    }
  });

  it('if all are in one process', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const folder = await temporaryFolder();
      const outcomes = await Promise.allSettled(Array.from({ length: STARTERS }, () => openEngine(folder)));
      const codes = outcomes.map((outcome) =>
        outcome.status === 'fulfilled' ? 'opened' : (outcome.reason as CofferError).code,
      );
      expect(codes.sort()).toEqual(['opened', ...Array(STARTERS - 1).fill('store_locked')]);
    }
  });
});

describe('close', () => {
  it('waits for the requests under way, which all succeed', async () => {
    const { engine, folder } = await openEngine();
    const done: number[] = [];
    const puts = Array.from({ length: 50 }, async (_, index) => {
      await engine.put(admin, `a${index % 5}`, bytes(`${index}`));
      done.push(index);
    });
    const gets = [engine.list(admin), engine.createToken(admin, { name: 'x' })];
    await engine.close();
    expect(done).toHaveLength(50);
    await Promise.all([...puts, ...gets]);
    const { engine: reopened } = await openEngine(folder);
    const versions = (await reopened.list(admin)).flatMap((info) => info.versions);
    expect(versions).toHaveLength(50);
    expect(await reopened.listTokens(admin)).toHaveLength(1);
  });

  it('may be called twice and at once', async () => {
    const { engine } = await openEngine();
    await Promise.all([engine.close(), engine.close(), engine[Symbol.asyncDispose]()]);
    await engine.close();
  });

  it('is called at the end of a scope', async () => {
    const folder = await temporaryFolder();
    {
      await using engine = (await openEngine(folder)).engine;
      await engine.put(admin, 'a', bytes('v'));
    }
    const { engine } = await openEngine(folder);
    expect((await engine.get(admin, 'a')).version).toBe(1);
  });

  const calls: [string, (engine: Engine) => Promise<unknown>][] = [
    ['list', (e) => e.list(admin)],
    ['info', (e) => e.info(admin, 'a')],
    ['get', (e) => e.get(admin, 'a')],
    ['getIfChanged', (e) => e.getIfChanged(admin, 'a', 1)],
    ['put', (e) => e.put(admin, 'a', bytes('v'))],
    ['createVersion', (e) => e.createVersion(admin, 'a', 5, bytes('v'))],
    ['activate', (e) => e.activate(admin, 'a', 1)],
    ['deleteVersion', (e) => e.deleteVersion(admin, 'a', 2)],
    ['delete', (e) => e.delete(admin, 'a')],
    ['createToken', (e) => e.createToken(admin, { name: 'x' })],
    ['listTokens', (e) => e.listTokens(admin)],
    ['revokeToken', (e) => e.revokeToken(admin, '0123456789abcdef')],
    ['policy', (e) => e.policy(admin)],
    ['applyPolicy', (e) => e.applyPolicy(admin, [])],
  ];

  it.each(calls)('refuses %s from the moment that it is called', async (_, call) => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    expect(engine.stopped).toBeUndefined();
    const closed = engine.close();
    expect(await codeOf(call(engine))).toBe('stopped');
    await closed;
    expect(await codeOf(call(engine))).toBe('stopped');
    expect(engine.stopped?.code).toBe('stopped');
  });
});

describe('a state folder', () => {
  it('whose path is too long for a socket is refused with the limit', async () => {
    const folder = join(await temporaryFolder(), 'x'.repeat(90));
    await mkdir(folder, { recursive: true });
    expect(await codeOf(openEngine(folder))).toBe('invalid_argument');
    expect(await messageOf(openEngine(folder))).toMatch(/at most \d+ bytes/);
  });

  it('that is a file is an error of ours', async () => {
    const folder = await temporaryFolder();
    const stateDir = fileURLToPath(import.meta.url);
    expect(await codeOf(openEngine(folder, { stateDir }))).toBe('io');
    expect(await messageOf(openEngine(folder, { stateDir }))).toContain(stateDir);
  });

  it('may have a path of any signs', async () => {
    const folder = join(await temporaryFolder(), 'a b\n"ü\u{1f511}');
    const { engine } = await openEngine(folder);
    expect(await engine.put(admin, 'a', bytes('v'))).toBe(1);
    expect(await codeOf(openEngine(folder))).toBe('store_locked');
  });
});
