import { cp } from 'node:fs/promises';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Caller, Change, Engine, Grant } from '../src/index.js';
import { auditEntries } from './audit-file.js';
import { recordSizes, storedHeader } from './store-file.js';
import { admin, bytes, codeOf, identity, openEngine, temporaryFolder, text } from './support.js';

const START = Date.parse('2031-01-01T00:00:00Z');
/** How long a proof lives, in milliseconds. */
const MINUTE = 60_000;

/** An engine whose clock stands until it is moved. */
async function withClock(folder?: string, start = START) {
  let time = start;
  const opened = await openEngine(folder, { now: () => new Date(time) });
  const pass = (milliseconds: number) => {
    time += milliseconds;
  };
  const once = (operation: string) => ({ operation, until: new Date(time + MINUTE) });
  return { ...opened, pass, once };
}

/** Makes the head forget what any operation before answered. */
async function pushOut(engine: Engine, name = 'a'): Promise<void> {
  const { activeVersion } = await engine.info(admin, name);
  for (let index = 0; index < 16; index++) {
    await engine.activate(admin, name, activeVersion, { operation: `other ${index}`.replace(' ', '-') });
  }
}

const secretHead = async (stateDir: string) => Math.max(...(await recordSizes(stateDir, 's')));

describe('an operation that counts once', () => {
  it('answers as it did while that is remembered, then is refused until its time, then is forgotten', async () => {
    const { engine, once, pass } = await withClock();
    await engine.put(admin, 'a', bytes('one'));
    const change = once('op');
    expect(await engine.put(admin, 'a', bytes('two'), change)).toBe(2);
    expect(await engine.put(admin, 'a', bytes('two'), change)).toBe(2);
    await pushOut(engine);
    expect(await codeOf(engine.put(admin, 'a', bytes('two'), change))).toBe('operation_reused');
    pass(MINUTE);
    expect(await codeOf(engine.put(admin, 'a', bytes('two'), change))).toBe('operation_reused');
    pass(1_000);
    await pushOut(engine);
    await engine.put(admin, 'a', bytes('three'));
    expect(await engine.put(admin, 'a', bytes('two'), { operation: 'op' })).toBe(4);
  });

  it('is refused whether or not the repetition says until when it counts, and another caller’s is another', async () => {
    const { engine, once } = await withClock();
    await engine.applyPolicy(admin, [{ to: ['nats:*'], actions: ['put'], secrets: ['*'] }]);
    const [alice, bob] = [identity('alice'), identity('bob')];
    await engine.put(alice, 'a', bytes('one'), once('op'));
    await pushOut(engine);
    expect(await codeOf(engine.put(alice, 'a', bytes('two'), { operation: 'op' }))).toBe('operation_reused');
    expect(await engine.put(bob, 'a', bytes('two'), once('op'))).toBe(2);
  });

  it('is refused after a restart, a crash and in a copy of the store', async () => {
    const { engine, folder, once } = await withClock();
    await engine.put(admin, 'a', bytes('one'));
    const change = once('op');
    await engine.put(admin, 'a', bytes('two'), change);
    await pushOut(engine);
    const crashed = await temporaryFolder();
    await cp(folder, crashed, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
    await engine.close();
    for (const place of [folder, crashed]) {
      const { engine: again } = await withClock(place);
      expect(await codeOf(again.put(admin, 'a', bytes('two'), change))).toBe('operation_reused');
    }
  });

  it('is refused by the tombstone of a deleted secret, and by its next life', async () => {
    const { engine, once, folder } = await withClock();
    const [put, deletion] = [once('put'), once('delete')];
    await engine.put(admin, 'a', bytes('one'), put);
    await pushOut(engine);
    await engine.delete(admin, 'a', deletion);
    expect(await codeOf(engine.put(admin, 'a', bytes('one'), put))).toBe('operation_reused');
    await engine.put(admin, 'a', bytes('next life'));
    expect(await codeOf(engine.put(admin, 'a', bytes('one'), put))).toBe('operation_reused');
    await engine.delete(admin, 'a', deletion);
    await pushOut(engine);
    await engine.close();
    const { engine: again } = await withClock(folder);
    expect(await codeOf(again.delete(admin, 'a', deletion))).toBe('operation_reused');
    expect(text((await again.get(admin, 'a')).value)).toBe('next life');
  });

  describe('and is asked for again by a proof that lives longer', () => {
    /** Later than the first one's end, and before the second one's. */
    const BETWEEN = 80_000;

    it('is remembered until that one ends, while its answer is known and when it is not', async () => {
      const { engine, once, pass, folder } = await withClock();
      await engine.put(admin, 'a', bytes('one'));
      for (const name of ['known', 'forgotten']) {
        await engine.put(admin, name, bytes('one'));
        await engine.put(admin, name, bytes('two'), once('op'));
      }
      await pushOut(engine, 'forgotten');
      pass(40_000);
      const later = once('op');
      expect(await engine.put(admin, 'known', bytes('two'), later)).toBe(2);
      expect(await codeOf(engine.put(admin, 'forgotten', bytes('two'), later))).toBe('operation_reused');
      await pushOut(engine, 'known');
      await engine.close();
      const { engine: again } = await withClock(folder, START + BETWEEN);
      for (const name of ['known', 'forgotten']) {
        await pushOut(again, name);
        expect(await codeOf(again.put(admin, name, bytes('two'), later))).toBe('operation_reused');
        expect((await again.info(admin, name)).versions).toEqual([1, 2]);
      }
    });

    it('is so where a repetition is refused at once, as of a token, which cannot be shown twice', async () => {
      const { engine, once, pass, folder } = await withClock();
      await engine.createToken(admin, { name: 'ci' }, once('op'));
      pass(40_000);
      const later = once('op');
      expect(await codeOf(engine.createToken(admin, { name: 'ci' }, later))).toBe('operation_reused');
      await engine.close();
      const { engine: again } = await withClock(folder, START + BETWEEN);
      for (let index = 0; index < 17; index++) await again.applyPolicy(admin, [], {}, once(`other-${index}`));
      expect(await codeOf(again.createToken(admin, { name: 'ci' }, later))).toBe('operation_reused');
      expect(await again.listTokens(admin)).toHaveLength(1);
    });

    it('is so by the manifest and by the header', async () => {
      const { engine, once, pass, folder } = await withClock();
      const known = { policy: once('policy-known'), key: once('key-known') };
      await engine.createToken(admin, { name: 'ci' }, once('forgotten'));
      await engine.rotateKeys(admin, { root: true }, once('forgotten'));
      const others = async (engine: Engine, prefix: string) => {
        for (let index = 0; index < 16; index++) {
          const change = { operation: `${prefix}${index}` };
          await engine.applyPolicy(admin, [], {}, change);
          await engine.rotateKeys(admin, { root: true }, change);
        }
      };
      await others(engine, 'a');
      await engine.applyPolicy(admin, [], {}, known.policy);
      await engine.rotateKeys(admin, { root: true }, known.key);
      pass(40_000);
      const repeat = (engine: Engine, change: (operation: string) => Change) => [
        engine.applyPolicy(admin, [], {}, change('policy-known')),
        engine.rotateKeys(admin, { root: true }, change('key-known')),
        engine.createToken(admin, { name: 'ci' }, change('forgotten')),
        engine.rotateKeys(admin, { root: true }, change('forgotten')),
      ];
      const outcomes = await Promise.allSettled(repeat(engine, once));
      expect(outcomes.map(({ status }) => status)).toEqual([
        'fulfilled',
        'fulfilled',
        'rejected',
        'rejected',
      ]);
      await others(engine, 'b');
      await engine.close();
      const { engine: again } = await withClock(folder, START + BETWEEN);
      await others(again, 'c');
      const codes = await Promise.all(repeat(again, (operation) => ({ operation })).map(codeOf));
      expect(codes).toEqual(codes.map(() => 'operation_reused'));
    });

    it('is in the log with what became of it', async () => {
      const { engine, stateDir, once, pass } = await withClock();
      await engine.put(admin, 'a', bytes('one'), once('op'));
      await engine.put(admin, 'a', bytes('one'), once('op'));
      pass(10_000);
      const later = once('op');
      await engine.put(admin, 'a', bytes('one'), later);
      await engine.put(admin, 'a', bytes('one'), later);
      await pushOut(engine);
      pass(10_000);
      await codeOf(engine.put(admin, 'a', bytes('one'), once('op')));
      const entries = (await auditEntries(stateDir)).filter(({ action }) => action === 'put');
      expect(entries.map(({ phase, error }) => [phase, error])).toEqual([
        ['intent', undefined],
        ['outcome', undefined],
        [undefined, undefined],
        ['intent', undefined],
        ['outcome', undefined],
        [undefined, undefined],
        ['intent', undefined],
        ['outcome', 'operation_reused'],
      ]);
    });
  });

  it('keeps a tombstone that is old, if it alone knows of it', async () => {
    const { engine, folder, stateDir, pass, once } = await withClock();
    await engine.delete(admin, 'a', once('first'));
    pass(24 * 60 * MINUTE - 1_000);
    const change = once('last');
    await engine.delete(admin, 'a', change);
    await engine.close();
    const { engine: soon } = await withClock(folder, START + 24 * 60 * MINUTE + 10_000);
    await soon.put(admin, 'a', bytes('v'));
    await soon.delete(admin, 'a', change);
    expect(text((await soon.get(admin, 'a')).value)).toBe('v');
    await soon.delete(admin, 'a');
    await soon.close();
    const { engine: later } = await withClock(folder, START + 49 * 60 * MINUTE);
    await later.close();
    expect(await recordSizes(stateDir, 's')).toEqual([]);
  });

  it('is one change, however many come at once', async () => {
    const { engine, once } = await withClock();
    const change = once('op');
    const puts = Array.from({ length: 20 }, () => engine.put(admin, 'a', bytes('v'), change));
    expect(new Set(await Promise.all(puts))).toEqual(new Set([1]));
  });

  it('of a refused change may be tried again', async () => {
    const { engine, once } = await withClock();
    await engine.put(admin, 'a', bytes('one'));
    const change = once('op');
    expect(await codeOf(engine.activate(admin, 'a', 2, change))).toBe('not_found');
    await engine.put(admin, 'a', bytes('two'));
    await engine.activate(admin, 'a', 2, change);
    expect((await engine.info(admin, 'a')).activeVersion).toBe(2);
  });

  it('of the policy, of a token and of a revocation is known by the manifest', async () => {
    const { engine, folder, once } = await withClock();
    const grants = [{ to: ['token:a'], actions: ['get'], secrets: ['*'] }] as const;
    const [policy, token, lift] = [once('policy'), once('token'), once('lift')];
    await engine.applyPolicy(admin, grants, {}, policy);
    await engine.createToken(admin, { name: 'ci' }, token);
    const { id } = await engine.revoke(admin, { jti: 'J' });
    await engine.liftRevocation(admin, id, lift);
    for (let index = 0; index < 16; index++) {
      await engine.applyPolicy(admin, [], {}, { operation: `other-${index}` });
    }
    const refused = async (engine: Engine) => [
      await codeOf(engine.applyPolicy(admin, grants, {}, policy)),
      await codeOf(engine.createToken(admin, { name: 'ci' }, token)),
      await codeOf(engine.liftRevocation(admin, id, lift)),
    ];
    const expected = Array.from({ length: 3 }, () => 'operation_reused');
    expect(await refused(engine)).toEqual(expected);
    await engine.close();
    const { engine: again } = await withClock(folder);
    expect(await refused(again)).toEqual(expected);
    expect((await again.policy(admin)).grants).toEqual([]);
    expect(await again.listTokens(admin)).toHaveLength(1);
  });

  it('of a rotation is known by the header', async () => {
    const { engine, folder, stateDir, once } = await withClock();
    const change = once('rotation');
    await engine.rotateKeys(admin, { root: true }, change);
    for (let index = 0; index < 16; index++) {
      await engine.rotateKeys(admin, { root: true }, { operation: `other-${index}` });
    }
    expect(await codeOf(engine.rotateKeys(admin, { root: true }, change))).toBe('operation_reused');
    await engine.close();
    expect(await storedHeader(stateDir)).toMatchObject({ spent: expect.stringMatching(/^[\w+/]{27}=$/) });
    const { engine: again } = await withClock(folder);
    expect(await codeOf(again.rotateKeys(admin, { root: true }, change))).toBe('operation_reused');
  });

  it('is told from all others, whatever their ids are', async () => {
    const { engine, once } = await withClock();
    const id = fc.stringMatching(/^[\x21-\x7e]{1,128}$/);
    const ids = fc.sample(fc.uniqueArray(id, { minLength: 40, maxLength: 40 }), 1)[0] as string[];
    for (const [index, id] of ids.entries()) await engine.put(admin, 'a', bytes(`${index}`), once(id));
    for (const [index, id] of ids.slice(0, 24).entries()) {
      expect(await codeOf(engine.put(admin, 'a', bytes(`${index}`), once(id)))).toBe('operation_reused');
    }
    expect(await engine.put(admin, 'a', bytes('39'), once(ids[39] as string))).toBe(40);
  });

  it('is not made when its time is over before it is its turn, and may be sent again with a later one', async () => {
    const { engine, once, pass } = await withClock();
    const late = once('op');
    pass(MINUTE + 1_000);
    const changes = [
      engine.put(admin, 'a', bytes('v'), late),
      engine.applyPolicy(admin, [], {}, late),
      engine.rotateKeys(admin, { root: true }, late),
    ];
    expect(await Promise.all(changes.map(codeOf))).toEqual(changes.map(() => 'busy'));
    expect(await engine.list(admin)).toEqual([]);
    expect(await engine.put(admin, 'a', bytes('v'), once('op'))).toBe(1);
  });

  it.each<[string, { operation?: string; until: Date }]>([
    ['for more than a day', { operation: 'op', until: new Date(START + 24 * 60 * MINUTE + 1_001) }],
    ['until no time', { operation: 'op', until: new Date(Number.NaN) }],
    ['without an id', { until: new Date(START + MINUTE) }],
  ])('does not do so %s', async (_, change) => {
    const { engine } = await withClock();
    expect(await codeOf(engine.put(admin, 'a', bytes('v'), change))).toBe('invalid_argument');
    expect(await engine.list(admin)).toEqual([]);
  });
});

/** A thousand changes, each with its syncs, take a slow disk longer than other tests, in milliseconds. */
const MANY_CHANGES = 120_000;
/** Of one caller's, those whose answers are known among them. */
const OF_ONE = 16 + 128;
const OF_ALL = 32 + 1_024;

/** How often a change can be made until it is refused as one too many. */
async function untilBusy(make: (index: number) => Promise<unknown>): Promise<number> {
  for (let index = 0; index <= 3 * OF_ALL; index++) {
    try {
      await make(index);
    } catch (error) {
      expect(error).toMatchObject({ code: 'busy' });
      return index;
    }
  }
  throw new Error('it is never refused');
}

/** Makes a change as one caller after the other, as often as each may; how often that was in all. */
async function crowd(change: (caller: Caller, operation: string) => Promise<unknown>): Promise<number> {
  let made = 0;
  for (let index = 0; ; index++) {
    const caller = identity(`m${'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[index]}`);
    const ofOne = await untilBusy((number) => change(caller, `${number}`));
    made += ofOne;
    if (ofOne < OF_ONE) return made;
  }
}

describe('the memory of what counts once', () => {
  it('is 27 characters each, is bounded, and has room again when their time is over', async () => {
    const { engine, stateDir, once, pass } = await withClock();
    await engine.applyPolicy(admin, [{ to: ['nats:*'], actions: ['put'], secrets: ['*'] }]);
    const alice = identity('alice');
    await engine.put(alice, 'a', bytes('v'));
    const id = (index: number) => `${index}`.padStart(6, '0');
    const put = (index: number) => engine.put(alice, 'a', bytes('v'), once(id(index)));
    for (let index = 0; index < 16 + 8; index++) await put(index);
    const withEight = await secretHead(stateDir);
    for (let index = 16 + 8; index < OF_ONE; index++) await put(index);
    expect((await secretHead(stateDir)) - withEight).toBe((120 / 3) * 80);
    expect(await codeOf(put(OF_ONE))).toBe('busy');
    expect((await auditEntries(stateDir)).at(-1)).toMatchObject({ action: 'put', error: 'busy' });
    // What needs no memory goes on.
    expect(await engine.put(alice, 'a', bytes('w'))).toBe(2);
    pass(MINUTE + 1_000);
    await put(OF_ONE);
    expect(await secretHead(stateDir)).toBeLessThan(4_000);
  });

  it('of a secret is not used up for others by one caller, nor for its own deletion', async () => {
    const { engine, once, folder } = await withClock();
    const [mallory, owner] = [identity('mallory'), identity('owner')];
    await engine.applyPolicy(admin, [
      { to: ['nats:*'], actions: ['put', 'activate', 'delete'], secrets: ['*'] },
    ]);
    expect(await untilBusy((index) => engine.put(mallory, 'a', bytes('v'), once(`${index}`)))).toBe(OF_ONE);
    expect(await engine.put(owner, 'a', bytes('new'), once('put'))).toBe(2);
    await engine.activate(owner, 'a', 2, once('activate'));
    await engine.deleteVersion(owner, 'a', 1, once('delete-version'));
    await engine.close();
    const { engine: again } = await withClock(folder);
    expect(await codeOf(again.put(mallory, 'a', bytes('v'), once('more')))).toBe('busy');
    await again.delete(mallory, 'a', once('delete'));
    await again.put(owner, 'a', bytes('newer'), once('next-life'));
    await again.delete(owner, 'a', once('delete'));
  });

  it(
    'of the manifest is not used up for others by who administers a part, whatever it takes away',
    async () => {
      const { engine, once } = await withClock();
      const [mallory, root] = [identity('mallory'), identity('root')];
      const own = (secrets: string, to: string): Grant => ({
        to: [to],
        actions: ['admin'],
        secrets: [secrets],
      });
      const keeps = own('team/*', mallory.principals[0].id);
      const taken = Array.from({ length: 200 }, (_, index) => own(`team/${index}`, 'token:x'));
      await engine.applyPolicy(admin, [own('*', root.principals[0].id), keeps]);
      await engine.applyPolicy(mallory, [keeps, ...taken]);
      const apply = (operation: string) =>
        engine.applyPolicy(mallory, [keeps, ...taken], {}, once(operation));
      expect(await untilBusy((index) => apply(`same-${index}`))).toBe(OF_ONE);
      const takeAway = (index: number) => {
        taken.pop();
        return apply(`less-${index}`);
      };
      expect(await untilBusy(takeAway)).toBe(0);
      const { info } = await engine.createToken(root, { name: 'new' }, once('token'));
      await engine.applyPolicy(root, [own('*', root.principals[0].id)], {}, once('policy'));
      await engine.revokeToken(root, info.id, once('revoke-token'));
      const { id } = await engine.revoke(root, { jti: 'J' }, once('revoke'));
      await engine.liftRevocation(root, id, once('lift'));
      expect(await codeOf(apply('again'))).toBe('access_denied');
    },
    MANY_CHANGES,
  );

  it(
    'of a secret is bounded for all callers, and then has room left for its administrators, and for what may have leaked',
    async () => {
      const { engine, stateDir, once } = await withClock();
      await engine.applyPolicy(admin, [
        { to: ['nats:*'], actions: ['put', 'activate', 'delete'], secrets: ['*'] },
      ]);
      const owner = identity('owner');
      const put = (caller: Caller, operation: string) => engine.put(caller, 'a', bytes('v'), once(operation));
      expect(await crowd(put)).toBe(OF_ALL);
      expect(await secretHead(stateDir)).toBeLessThan(40_000);
      expect(await codeOf(put(owner, 'put'))).toBe('busy');
      expect(await engine.put(owner, 'a', bytes('w'))).toBe(2);
      expect(await engine.put(admin, 'a', bytes('new'), once('put'))).toBe(3);
      await engine.activate(owner, 'a', 3, once('activate'));
      await engine.deleteVersion(owner, 'a', 1, once('delete-version'));
      await engine.delete(owner, 'a', once('delete'));
    },
    MANY_CHANGES,
  );

  it(
    'of the manifest is so, too, with room for who administers everything',
    async () => {
      const { engine, once } = await withClock();
      const { info } = await engine.createToken(admin, { name: 'leaked' });
      const part: Grant = { to: ['nats:*'], actions: ['admin'], secrets: ['team/*'] };
      await engine.applyPolicy(admin, [part]);
      const apply = (caller: Caller, operation: string) =>
        engine.applyPolicy(caller, [part], {}, once(operation));
      expect(await crowd(apply)).toBe(OF_ALL);
      expect(await codeOf(apply(identity('other'), 'policy'))).toBe('busy');
      await apply(admin, 'policy');
      await engine.createToken(admin, { name: 'new' }, once('token'));
      await engine.revokeToken(admin, info.id, once('r1'));
      await engine.revoke(admin, { jti: 'J' }, once('r2'));
      expect(engine.tokenRevoked('J')).toBe(true);
    },
    MANY_CHANGES,
  );
});
