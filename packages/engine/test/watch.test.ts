import { randomBytes } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';

import type { Action, Caller, Engine, Grant, WatchEvent, WatchOptions } from '../src/index.js';
import { auditEntries } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, token } from './support.js';

const get: readonly Action[] = ['get'];

/** A watch that is read one event at a time; ended with the test. */
class Reader {
  readonly #events: AsyncGenerator<WatchEvent, void>;
  readonly #stop = new AbortController();

  constructor(engine: Engine, caller: Caller = admin, options: WatchOptions = {}) {
    this.#events = engine.watch(caller, { signal: this.#stop.signal, ...options });
    onTestFinished(() => this.leave());
  }

  /** The next event; undefined at the end. */
  async next(): Promise<WatchEvent | undefined> {
    return (await this.#events.next()).value ?? undefined;
  }

  /** The next events without their ids, the infos of secrets as `name: versions, *active`. */
  async told(count: number): Promise<string[]> {
    const told = [];
    while (told.length < count) told.push(inShort(await this.next()));
    return told;
  }

  /** The reader goes away; resolves when nothing is kept for it any more. */
  async leave(): Promise<void> {
    this.#stop.abort();
    await this.#events.return();
  }
}

function inShort(event: WatchEvent | undefined): string {
  switch (event?.kind) {
    case 'change': {
      const { name, versions, activeVersion } = event.secret;
      return `${name}: ${versions.map((n) => (n === activeVersion ? `*${n}` : n)).join()}`;
    }
    case 'delete':
      return `${event.name} deleted`;
    case 'end':
      return `end ${event.code}`;
    default:
      return event?.kind ?? 'over';
  }
}

/** Tokens that may get what the patterns say. */
async function withTokens(engine: Engine, rights: Record<string, readonly string[]>) {
  const made: Record<string, { id: string; caller: Caller; token: string }> = {};
  for (const name of Object.keys(rights)) {
    const { info, token } = await engine.createToken(admin, { name });
    const principal = engine.authenticateToken(token) as Caller['principals'][0];
    made[name] = { id: info.id, token, caller: { principals: [principal], address: '192.0.2.7' } };
  }
  const grant = async (changed: Record<string, readonly string[]>) => {
    const grants: Grant[] = Object.entries(changed)
      .filter(([, secrets]) => secrets.length > 0)
      .map(([name, secrets]) => ({ to: [`token:${made[name]?.id}`], actions: get, secrets }));
    await engine.applyPolicy(admin, grants);
  };
  await grant(rights);
  const caller = (name: string) => made[name]?.caller as Caller;
  return { caller, grant, revoke: (name: string) => engine.revokeToken(admin, made[name]?.id as string) };
}

describe('a watch', () => {
  it('tells first that it is ready, then what each secret is after a change', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'before', bytes('x'));
    const reader = new Reader(engine);
    expect(await reader.next()).toEqual({ kind: 'ready', id: expect.stringMatching(/^[0-9a-f]{32}-\d+$/) });
    const steps: [() => Promise<unknown>, string][] = [
      [() => engine.put(admin, 'a', bytes('one')), 'a: *1'],
      [() => engine.put(admin, 'a', bytes('two')), 'a: *1,2'],
      [() => engine.activate(admin, 'a', 2), 'a: 1,*2'],
      [() => engine.deleteVersion(admin, 'a', 1), 'a: *2'],
      [() => engine.createVersion(admin, 'a', 9, bytes('nine')), 'a: 2,*9'],
      [() => engine.delete(admin, 'a'), 'a deleted'],
      [() => engine.put(admin, 'a', bytes('anew')), 'a: *1'],
      [() => engine.delete(admin, 'before'), 'before deleted'],
    ];
    for (const [change, told] of steps) {
      await change();
      expect(await reader.told(1)).toEqual([told]);
    }
  });

  it('tells nothing of what changes nothing', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    const reader = new Reader(engine);
    await reader.next();
    await engine.put(admin, 'a', bytes('one'), { operation: 'again' });
    await engine.activate(admin, 'a', 1, { operation: 'same' });
    await engine.delete(admin, 'none', { operation: 'none' });
    await codeOf(engine.activate(admin, 'a', 7));
    await engine.rotateKeys(admin);
    await expect.poll(async () => (await engine.keys(admin)).rotation, { timeout: 10_000 }).toBeUndefined();
    await engine.put(admin, 'end', bytes('x'));
    expect(await reader.told(1)).toEqual(['end: *1']);
  });

  it('tells of the names that its patterns match, and of all without one', async () => {
    const { engine } = await openEngine();
    const some = new Reader(engine, admin, { secrets: ['prod/*', 'exact'] });
    const all = new Reader(engine);
    await Promise.all([some.next(), all.next()]);
    for (const name of ['prod/a', 'staging/a', 'exact', 'exactly', 'prod/b'])
      await engine.put(admin, name, bytes('x'));
    expect(await some.told(3)).toEqual(['prod/a: *1', 'exact: *1', 'prod/b: *1']);
    expect(await all.told(5)).toHaveLength(5);
  });

  it('tells a secret once that changed often while nobody read', async () => {
    const { engine } = await openEngine();
    const reader = new Reader(engine);
    await reader.next();
    for (let n = 1; n <= 20; n++) {
      await engine.put(admin, 'often', bytes(`${n}`));
      if (n === 10) await engine.put(admin, 'once', bytes('x'));
    }
    await engine.put(admin, 'gone', bytes('x'));
    await engine.delete(admin, 'gone');
    expect(await reader.told(3)).toEqual([
      'once: *1',
      `often: *1,${Array.from({ length: 19 }, (_, n) => n + 2).join()}`,
      'gone deleted',
    ]);
  });

  it('beats when nothing happens, with the id of what happened meanwhile elsewhere', async () => {
    const { engine } = await openEngine();
    const reader = new Reader(engine, admin, { secrets: ['quiet'], heartbeatMs: 30 });
    const ready = await reader.next();
    expect(await reader.next()).toEqual({ ...ready, kind: 'heartbeat' });
    await engine.put(admin, 'other', bytes('x'));
    const beat = (await reader.next()) as { id: string };
    expect(beat).toMatchObject({ kind: 'heartbeat' });
    expect(beat.id).not.toBe((ready as { id: string }).id);
    await engine.put(admin, 'quiet', bytes('x'));
    expect(await reader.told(1)).toEqual(['quiet: *1']);
  });

  it('is audited once, when it is opened, before anything is told', async () => {
    const { engine, stateDir } = await openEngine();
    const { caller } = await withTokens(engine, { alice: ['a*'] });
    const opened = async () => (await auditEntries(stateDir)).filter(({ action }) => action === 'watch');
    const reader = new Reader(engine, caller('alice'), { secrets: ['prod/*', 'with "space"'] });
    expect(await reader.next().then(opened)).toMatchObject([
      { authorized: true, target: 'prod/* "with \\"space\\""', principal: { user: 'alice' } },
    ]);
    await engine.put(admin, 'ab', bytes('x'));
    await new Reader(engine).next();
    expect(await opened()).toMatchObject([
      {},
      { authorized: true, target: '*', principal: { id: 'socket' } },
    ]);
  });

  it.each([
    [{ secrets: Array.from({ length: 33 }, () => 'a') }, 'invalid_argument'],
    [{ secrets: [''] }, 'invalid_argument'],
    [{ secrets: ['x'.repeat(1025)] }, 'invalid_argument'],
    [{ secrets: ['\ud800'] }, 'invalid_argument'],
  ])('with a pattern of the wrong form is refused', async (options, code) => {
    const { engine } = await openEngine();
    expect(await codeOf(engine.watch(admin, options).next())).toBe(code);
  });
});

describe('who watches', () => {
  it('is told only what it may get at that moment, deletions too', async () => {
    const { engine } = await openEngine();
    const { caller, grant } = await withTokens(engine, { alice: ['a/*', 'b'] });
    const reader = new Reader(engine, caller('alice'));
    await reader.next();
    for (const name of ['c', 'a/1', 'b']) await engine.put(admin, name, bytes('x'));
    await engine.delete(admin, 'c');
    await engine.delete(admin, 'b');
    expect(await reader.told(2)).toEqual(['a/1: *1', 'b deleted']);
    await engine.put(admin, 'a/2', bytes('x'));
    await engine.put(admin, 'b', bytes('x'));
    // What was not yet told is decided by the grants at the moment of telling.
    await grant({ alice: ['b'] });
    expect(await reader.told(1)).toEqual(['reset']);
    await engine.put(admin, 'a/3', bytes('x'));
    await engine.put(admin, 'b', bytes('y'));
    expect(await reader.told(1)).toEqual(['b: *1,2']);
  });

  it('is sent to read anew when its own grants change, and hears nothing of the grants of others', async () => {
    const { engine } = await openEngine();
    const { caller, grant } = await withTokens(engine, { alice: ['a'], bob: ['b'] });
    const alice = new Reader(engine, caller('alice'));
    const bob = new Reader(engine, caller('bob'));
    await Promise.all([alice.next(), bob.next()]);
    const [tellAlice, tellBob] = [alice.told(1), bob.told(1)];
    await grant({ alice: ['a', 'c'], bob: ['b'] });
    expect(await tellAlice).toEqual(['reset']);
    await engine.put(admin, 'b', bytes('x'));
    expect(await tellBob).toEqual(['b: *1']);
  });

  it('is dropped when no grant is left, at once', async () => {
    const { engine } = await openEngine();
    const { caller, grant } = await withTokens(engine, { alice: ['a'], bob: ['b'] });
    const reader = new Reader(engine, caller('alice'));
    await reader.next();
    const told = reader.told(2);
    await grant({ alice: [], bob: ['b'] });
    expect(await told).toEqual(['end access_denied', 'over']);
  });

  it('is dropped when its token is revoked, at once, and no other one is', async () => {
    const { engine } = await openEngine();
    const { caller, revoke } = await withTokens(engine, { alice: ['*'], bob: ['*'] });
    const alice = new Reader(engine, caller('alice'));
    const bob = new Reader(engine, caller('bob'));
    await Promise.all([alice.next(), bob.next()]);
    const [toAlice, toBob] = [alice.told(2), bob.told(1)];
    await revoke('alice');
    expect(await toAlice).toEqual(['end unauthenticated', 'over']);
    await engine.put(admin, 'a', bytes('x'));
    expect(await toBob).toEqual(['a: *1']);
  });

  it('is dropped at the moment when its token expires, though nothing happens', async () => {
    const { engine } = await openEngine();
    const expiresAt = new Date(Date.now() + 300);
    const { info, token } = await engine.createToken(admin, { name: 'short', expiresAt });
    await engine.applyPolicy(admin, [{ to: [`token:${info.id}`], actions: get, secrets: ['*'] }]);
    const principal = engine.authenticateToken(token) as Caller['principals'][0];
    const reader = new Reader(engine, { principals: [principal], address: '192.0.2.7' });
    expect(await reader.told(2)).toEqual(['ready', 'end unauthenticated']);
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt.getTime());
    expect(Date.now()).toBeLessThan(expiresAt.getTime() + 5_000);
  });

  it('is refused without any right to get, and that is in the log', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.applyPolicy(admin, [{ to: ['token:x'], actions: ['info'], secrets: ['*'] }]);
    expect(await codeOf(engine.watch(token('x')).next())).toBe('access_denied');
    expect((await auditEntries(stateDir)).at(-1)).toMatchObject({
      action: 'watch',
      authorized: false,
      target: '*',
    });
  });

  it('may do so as often as one principal may, until all together are as many as there may be', async () => {
    const { engine } = await openEngine(undefined, {
      limits: { watchers: 5, watchersPerPrincipal: 3, watchersPerAccount: 4 },
    });
    const { caller } = await withTokens(engine, { one: ['*'], two: ['*'], three: ['*'] });
    const open = async (name: string) => {
      const reader = new Reader(engine, caller(name));
      await reader.next();
      return reader;
    };
    const [first, ...others] = await Promise.all([open('one'), open('one'), open('one')]);
    const own = /^token:\S+ has 3 watchers, as many as it may \(limits\.watchersPerPrincipal\)/;
    await expect(open('one')).rejects.toMatchObject({ code: 'busy', message: expect.stringMatching(own) });
    await first?.leave();
    await open('one');
    await Promise.all([open('two'), open('two')]);
    const all = /^there are 5 watchers, as many as there may be \(limits\.watchers\)/;
    await expect(open('three')).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringMatching(all),
    });
    const news = Promise.all(others.map((reader) => reader.told(1)));
    await engine.put(admin, 'a', bytes('x'));
    expect(await news).toEqual([['a: *1'], ['a: *1']]);
  });

  it('shares what its NATS account may have, so that new users of it make no room', async () => {
    const limits = { watchers: 9, watchersPerPrincipal: 2, watchersPerAccount: 3 };
    const { engine } = await openEngine(undefined, { limits });
    const user = (account: string, key: string): Caller => ({
      principals: [{ id: `nats:${account}/${key}`, kind: 'nats' }],
      address: '192.0.2.1',
    });
    const users = ['A/1', 'A/2', 'A/3', 'B/1'].map((id) => `nats:${id}`);
    await engine.applyPolicy(admin, [{ to: users, actions: ['get'], secrets: ['*'] }]);
    const open = async (caller: Caller) => {
      const reader = new Reader(engine, caller);
      await reader.next();
      return reader;
    };
    const first = await open(user('A', '1'));
    await open(user('A', '1'));
    await open(user('A', '2'));
    const message = expect.stringMatching(/^nats:A has 3 watchers.*limits\.watchersPerAccount/);
    await expect(open(user('A', '3'))).rejects.toMatchObject({ code: 'busy', message });
    await open(user('B', '1'));
    await first.leave();
    await open(user('A', '3'));
  });

  it('may do so 512 times at once where nothing else is set, and all of them hear', async () => {
    const { engine } = await openEngine();
    const readers = Array.from({ length: 512 }, () => new Reader(engine));
    await Promise.all(readers.map((reader) => reader.next()));
    expect(await codeOf(new Reader(engine).next())).toBe('busy');
    await engine.put(admin, 'a', bytes('x'));
    const told = await Promise.all(readers.map((reader) => reader.told(1)));
    expect(new Set(told.flat())).toEqual(new Set(['a: *1']));
    expect((await engine.facts()).watchers).toBe(512);
    await Promise.all(readers.map((reader) => reader.leave()));
    expect((await engine.facts()).watchers).toBe(0);
  });
});

describe('a watch that goes on', () => {
  it('after an event misses none of the later ones', async () => {
    const { engine } = await openEngine();
    const first = new Reader(engine);
    const ready = (await first.next()) as { id: string };
    for (const name of ['a', 'b', 'c']) await engine.put(admin, name, bytes('x'));
    await first.next();
    const b = (await first.next()) as { id: string };
    await first.leave();
    await engine.put(admin, 'd', bytes('x'));
    const second = new Reader(engine, admin, { since: b.id });
    expect(await second.next()).toEqual({ kind: 'ready', id: b.id });
    expect(await second.told(2)).toEqual(['c: *1', 'd: *1']);
    expect(await new Reader(engine, admin, { since: ready.id }).told(5)).toEqual([
      'ready',
      'a: *1',
      'b: *1',
      'c: *1',
      'd: *1',
    ]);
  });

  it('reads anew where it cannot: after a restart, from another store, after a change of grants', async () => {
    const { engine, folder } = await openEngine();
    const random = randomBytes(16).toString('hex');
    const { id } = (await new Reader(engine).next()) as { id: string };
    const [incarnation] = id.split('-');
    for (const since of [
      '',
      'x',
      `${random}-0`,
      `${incarnation}-`,
      `${incarnation}-1.5`,
      `${incarnation}--1`,
      `${incarnation}-99`,
    ]) {
      expect([since, await new Reader(engine, admin, { since }).told(2)]).toEqual([
        since,
        ['ready', 'reset'],
      ]);
    }
    await engine.applyPolicy(admin, [{ to: ['token:x'], actions: get, secrets: ['*'] }]);
    expect(await new Reader(engine, admin, { since: id }).told(2)).toEqual(['ready', 'reset']);
    const now = (await new Reader(engine).next()) as { id: string };
    await engine.close();
    const { engine: next } = await openEngine(folder);
    const reader = new Reader(next, admin, { since: now.id });
    expect(await reader.told(2)).toEqual(['ready', 'reset']);
    await next.put(admin, 'a', bytes('x'));
    expect(await reader.told(1)).toEqual(['a: *1']);
  });

  it('reads anew when more changed than are kept, whether it was away or slow', async () => {
    const { engine } = await openEngine();
    const slow = new Reader(engine);
    const { id } = (await slow.next()) as { id: string };
    await Promise.all(Array.from({ length: 4_096 }, (_, n) => engine.put(admin, `n${n}`, bytes('x'))));
    expect((await new Reader(engine, admin, { since: id }).told(4_097)).at(-1)).toMatch(/^n\d+: \*1$/);
    await engine.put(admin, 'one more', bytes('x'));
    expect(await new Reader(engine, admin, { since: id }).told(2)).toEqual(['ready', 'reset']);
    expect(await slow.told(1)).toEqual(['reset']);
    await engine.put(admin, 'last', bytes('x'));
    expect(await slow.told(1)).toEqual(['last: *1']);
  });

  it('misses nothing where ever so many changes are of other secrets, which it waits through unwoken', async () => {
    const { engine } = await openEngine();
    const reader = new Reader(engine, admin, { secrets: ['mine'] });
    await reader.next();
    const told = reader.told(2);
    for (let round = 0; round < 2; round++) {
      await Promise.all(
        Array.from({ length: 4_096 }, (_, n) => engine.put(admin, `${round}-${n}`, bytes('x'))),
      );
      await engine.put(admin, 'mine', bytes(`${round}`));
    }
    expect(await told).toEqual(['mine: *1', 'mine: *1,2']);
  });

  it('ends with the engine', async () => {
    const { engine } = await openEngine();
    const reader = new Reader(engine);
    await reader.next();
    const told = reader.told(2);
    await engine.close();
    expect(await told).toEqual(['end stopped', 'over']);
    expect(await codeOf(engine.watch(admin).next())).toBe('stopped');
  });
});

type Step =
  | { do: 'change'; verb: 'put' | 'delete' | 'activate' | 'prune'; name: string }
  | { do: 'read'; count: number }
  | { do: 'reconnect' }
  | { do: 'grant' };

const name = fc.constantFrom('a/1', 'a/2', 'a/3', 'b/1', 'b/2');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('change'),
      verb: fc.constantFrom('put', 'delete', 'activate', 'prune'),
      name,
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('read'), count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 2, arbitrary: fc.constant<Step>({ do: 'reconnect' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'grant' }) },
);

/** What a watcher knows: what it read at first and at each reset, and what it was told since. */
class Picture {
  readonly #engine: Engine;
  readonly #caller: Caller;
  readonly #secrets = new Map<string, string>();
  #reader: Reader;
  #since: string | undefined;

  constructor(engine: Engine, caller: Caller) {
    this.#engine = engine;
    this.#caller = caller;
    this.#reader = new Reader(engine, caller);
  }

  get known(): string[] {
    return [...this.#secrets.values()].sort();
  }

  /** Reads what there is, up to so many events. */
  async read(count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      const event = await this.#reader.next();
      if (!event || event.kind === 'end') throw new Error('the watch ended');
      if (event.kind === 'heartbeat') return;
      const first = event.kind === 'ready' && this.#since === undefined;
      if (first || event.kind === 'reset') await this.#readAnew();
      if (event.kind === 'change') this.#secrets.set(event.secret.name, inShort(event));
      if (event.kind === 'delete') this.#secrets.delete(event.name);
      this.#since = event.id;
    }
  }

  async reconnect(): Promise<void> {
    await this.#reader.leave();
    this.#reader = new Reader(this.#engine, this.#caller, { since: this.#since, heartbeatMs: 20 });
  }

  async #readAnew(): Promise<void> {
    const secrets = await this.#engine.list(this.#caller);
    this.#secrets.clear();
    for (const secret of secrets) this.#secrets.set(secret.name, inShort({ kind: 'change', id: '', secret }));
  }
}

it('whoever watches knows in the end what there is, wherever it was cut off on the way', async () => {
  const { engine } = await openEngine();
  const { info, token } = await engine.createToken(admin, { name: 'watcher' });
  const principal = engine.authenticateToken(token) as Caller['principals'][0];
  const caller: Caller = { principals: [principal], address: '192.0.2.7' };
  let wide = false;
  const grant = async () => {
    wide = !wide;
    const secrets = wide ? ['a/*', 'b/*'] : ['a/*'];
    await engine.applyPolicy(admin, [{ to: [`token:${info.id}`], actions: ['get', 'info'], secrets }]);
  };
  await grant();
  const change = async (verb: string, name: string) => {
    if (verb === 'put') return engine.put(admin, name, randomBytes(4));
    if (verb === 'delete') return engine.delete(admin, name);
    const { versions, activeVersion } = await engine.info(admin, name);
    const other = versions.find((version) => version !== activeVersion);
    if (other === undefined) return;
    return verb === 'activate'
      ? engine.activate(admin, name, other)
      : engine.deleteVersion(admin, name, other);
  };
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      const picture = new Picture(engine, caller);
      await picture.read(1);
      const changes: Promise<unknown>[] = [];
      // Changes are not waited for, so that they happen while the watcher reads and reconnects.
      for (const one of steps) {
        if (one.do === 'grant') changes.push(grant());
        else if (one.do === 'reconnect') await picture.reconnect();
        else if (one.do === 'read') {
          await picture.reconnect();
          await picture.read(one.count);
        } else changes.push(change(one.verb, one.name).catch(() => undefined));
      }
      await Promise.all(changes);
      await picture.reconnect();
      await picture.read(1_000);
      const secrets = await engine.list(caller);
      expect(picture.known).toEqual(
        secrets.map((secret) => inShort({ kind: 'change', id: '', secret })).sort(),
      );
    }),
    { numRuns: 60 },
  );
});
