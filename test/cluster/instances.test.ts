import { randomBytes } from 'node:crypto';
import { copyFileSync, writeFileSync } from 'node:fs';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { CofferError } from '../../packages/engine/src/index.js';
import { admin, bytes, codeOf, text, token } from '../../packages/engine/test/support.js';
import { NatsCluster } from '../support/cluster.mjs';
import { textOf } from './audit-instances.js';
import { Engines } from './engines.js';
import { connectTo } from './jetstream-support.js';

let cluster: NatsCluster;

beforeAll(async () => {
  cluster = await NatsCluster.start({ size: 3, auth: 'open' });
});

afterAll(async () => {
  await cluster?.stop();
});

const OTHER_KEY = `coffer-root-key-v1:${randomBytes(32).toString('base64')}\n`;

const WAIT = { timeout: 30_000 };

let buckets = 0;
const newEngines = () => new Engines(cluster, `instances-${++buckets}`);

/** What `ask` answers when the instance has read the stream: until then it refuses. */
async function fresh<T>(ask: () => Promise<T>): Promise<T> {
  let answer: Promise<T> | undefined;
  await expect
    .poll(() => {
      answer = ask();
      return answer.then(
        () => 'an answer',
        ({ code }: { code: string }) => code,
      );
    })
    .not.toMatch(/^(stale|unavailable)$/);
  return answer as Promise<T>;
}

describe('engines on one bucket', () => {
  it('know at once of one that has ended as it should, and may forget it', { timeout: 60_000 }, async () => {
    const engines = newEngines();
    const [a, b] = [await engines.open('a'), await engines.open('b')];
    const memberOf = async (name: string) =>
      (await a.engine.storageStatus(admin)).shared?.members.find((member) => member.name === name);
    await expect.poll(() => memberOf('b')).toMatchObject({ alive: true, ended: false });
    const own = await memberOf('a');
    await expect(a.engine.forgetMember(admin, 'a')).rejects.toThrow(
      `a (${own?.instance}) is the instance that is asked: stop it, and ask another one to forget it`,
    );
    await b.engine.close();
    await expect.poll(() => memberOf('b')).toMatchObject({ alive: false, ended: true });
    const back = await engines.open('b');
    await expect.poll(() => memberOf('b')).toMatchObject({ alive: true, ended: false });
    await back.engine.close();
    await expect.poll(() => memberOf('b')).toMatchObject({ alive: false, ended: true });
    const { instance } = (await memberOf('b')) ?? {};
    expect(await a.engine.forgetMember(admin, 'b')).toEqual({ instance, name: 'b' });
    expect(await memberOf('b')).toBeUndefined();
  });

  it('say why a change of the data key waits, those too that do not do it', { timeout: 60_000 }, async () => {
    const engines = newEngines();
    const [a, b, c] = [await engines.open('a'), await engines.open('b'), await engines.open('c')];
    await fresh(() => a.engine.put(admin, 'db', bytes('one')));
    const members = async ({ engine }: typeof a) =>
      (await engine.storageStatus(admin)).shared?.members.length;
    for (const one of [a, b]) await expect.poll(() => members(one)).toBe(3);
    await c.engine.close();
    await a.engine.rotateKeys(admin);
    const problems = () =>
      Promise.all([a, b].map(async ({ engine }) => (await engine.rotation(admin))?.problem?.code));
    // The one that does it waits for half a minute before it says so.
    await expect.poll(problems, { timeout: 20_000 }).toContain('members');
  });

  it('make one store where they start at the same moment, and read what any of them has written', {
    timeout: 60_000,
  }, async () => {
    const engines = newEngines();
    const [a, b, c] = await Promise.all([engines.open('a'), engines.open('b'), engines.open('c')]);
    await fresh(() => a.engine.put(admin, 'db', bytes('one')));
    await expect.poll(() => b.engine.get(admin, 'db').then(({ value }) => text(value), String)).toBe('one');
    await a.engine.applyPolicy(admin, [{ to: ['token:reader'], actions: ['get'], secrets: ['*'] }]);
    await expect
      .poll(() => c.engine.get(token('reader'), 'db').then(({ value }) => text(value), String))
      .toBe('one');
    expect(await codeOf(fresh(() => c.engine.get(token('other'), 'db')))).toBe('access_denied');
    const made = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        [a, b, c][index % 3]?.engine.put(admin, 'hot', bytes(`value ${index}`)),
      ),
    );
    expect(new Set(made).size).toBe(30);
    expect([a, b, c].flatMap(({ fatal }) => fatal)).toEqual([]);
  });

  it('say that they lack the root key where they cannot go on without it, and the one that waits for them says for whom', {
    timeout: 60_000,
  }, async () => {
    const engines = newEngines();
    const a = await engines.open('a');
    await fresh(() => a.engine.put(admin, 'db', bytes('one')));
    copyFileSync(engines.path('root.key'), engines.path('b.key'));
    const connections: NatsConnection[] = [];
    const connect = async () => {
      const connection = await connectTo(cluster.urls);
      connections.push(connection);
      return connection;
    };
    const b = await engines.open('b', { connect }, { rootKey: engines.rootKey('b.key') });
    await expect.poll(() => b.engine.get(admin, 'db').then(({ value }) => text(value), String)).toBe('one');
    await a.engine.rotateKeys(admin, { root: true });
    await a.engine.rotateKeys(admin, { without: ['b'] });
    expect(await textOf(a.engine.audit(admin, {}))).toContain('"target":"2 without b"');
    const told = (work: () => Promise<unknown>) =>
      expect.poll(() => work().then(String, ({ code, forCaller }: CofferError) => `${code}: ${forCaller}`), {
        timeout: 20_000,
      });
    await told(() => b.engine.get(admin, 'db')).toMatch(/^stale: this instance lacks the root key/);
    // Also where it has to begin to read anew, and gets no further.
    await Promise.all(connections.map((connection) => connection.close()));
    await expect.poll(() => b.engine.sharedHealth?.problem?.message).toMatch(/cannot be changed now/);
    await told(() => b.engine.get(admin, 'db')).toMatch(/^stale: this instance lacks the root key/);
    await told(async () => b.engine.whoami(admin)).toMatch(/^stale: this instance lacks the root key/);
    await told(() => b.engine.put(admin, 'db', bytes('no'))).toMatch(
      /^unavailable: this instance lacks the root/,
    );
    const waits = async () => (await a.engine.rotation(admin))?.problem?.message;
    await expect.poll(waits, { timeout: 30_000 }).toMatch(/: give the new root key to b \([0-9a-f]{16}\)$/);
    copyFileSync(engines.path('root.key'), engines.path('b.key'));
    await expect.poll(() => a.engine.rotation(admin), { timeout: 30_000 }).toBeUndefined();
  });

  it('change no data key while one that lives lacks the root key, and do when it was given to it', {
    timeout: 60_000,
  }, async () => {
    const engines = newEngines();
    const a = await engines.open('a');
    await fresh(() => a.engine.put(admin, 'db', bytes('one')));
    copyFileSync(engines.path('root.key'), engines.path('b.key'));
    const b = await engines.open('b', {}, { rootKey: engines.rootKey('b.key') });
    const members = async () => (await a.engine.storageStatus(admin)).shared?.members ?? [];
    await expect.poll(async () => (await members()).filter(({ alive }) => alive)).toHaveLength(2);
    await a.engine.rotateKeys(admin, { root: true });
    await expect(a.engine.rotateKeys(admin)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(
        /^b \(([0-9a-f]{16})\) lacks the root key .* coffer keys rotate --without \1$/,
      ),
    });
    expect(await members()).toContainEqual(expect.objectContaining({ name: 'b', lacksRootKey: true }));
    expect((await a.engine.keys(admin)).dataKeys).toHaveLength(1);
    copyFileSync(engines.path('root.key'), engines.path('b.key'));
    await expect.poll(() => a.engine.rotateKeys(admin).then(() => 'begun', String), WAIT).toBe('begun');
    expect(b.engine.lacksRootKey).toBe(false);
    await a.engine.put(admin, 'db', bytes('two'));
    await expect
      .poll(() => b.engine.get(admin, 'db', 2).then(({ value }) => text(value), String), WAIT)
      .toBe('two');
    await expect.poll(() => a.engine.rotation(admin), WAIT).toBeUndefined();
  });

  it('go on as who they were with the root key that took the place of their own while they were away', {
    timeout: 60_000,
  }, async () => {
    const engines = newEngines();
    const a = await engines.open('a', {}, { rootKey: engines.rootKey('a.key') });
    await fresh(() => a.engine.put(admin, 'db', bytes('one')));
    copyFileSync(engines.path('a.key'), engines.path('b.key'));
    const rootKey = engines.rootKey('b.key');
    const b = await engines.open('b', {}, { rootKey });
    await fresh(() => b.engine.get(admin, 'db'));
    const members = async () =>
      (await a.engine.storageStatus(admin)).shared?.members.map(({ instance }) => instance);
    await expect.poll(async () => (await members())?.length).toBe(2);
    const both = await members();
    await b.engine.close();
    // The data key, too: what the replica has is under the former one, what comes is under the next.
    await a.engine.rotateKeys(admin, { root: true });
    await a.engine.rotateKeys(admin, {});
    await a.engine.put(admin, 'db', bytes('two'));
    writeFileSync(engines.path('c.key'), OTHER_KEY, { mode: 0o600 });
    expect(await codeOf(engines.open('b', {}, { rootKey: engines.rootKey('c.key') }))).toBe('wrong_root_key');
    copyFileSync(engines.path('a.key'), engines.path('b.key'));
    const again = await engines.open('b', {}, { rootKey });
    expect(again.notices.join()).toMatch(
      /was changed at another instance while this one was away: this one goes on/,
    );
    expect(text((await fresh(() => again.engine.get(admin, 'db', 2))).value)).toBe('two');
    expect(again.engine.lacksRootKey).toBe(false);
    await fresh(() => again.engine.put(admin, 'own', bytes('three')));
    // Nobody is left behind for whom the others would wait: the former data key goes.
    expect(await members()).toEqual(both);
    await expect
      .poll(async () => (await again.engine.keys(admin)).dataKeys.length, { timeout: 40_000 })
      .toBe(1);
    expect([...a.fatal, ...again.fatal]).toEqual([]);
  });

  it('say where one that was away may have the new root key, and cannot look it up', {
    timeout: 60_000,
  }, async () => {
    const engines = newEngines();
    const a = await engines.open('a', {}, { rootKey: engines.rootKey('a.key') });
    copyFileSync(engines.path('a.key'), engines.path('b.key'));
    const rootKey = engines.rootKey('b.key');
    const b = await engines.open('b', {}, { rootKey });
    await fresh(() => b.engine.put(admin, 'db', bytes('one')));
    await b.engine.close();
    await a.engine.rotateKeys(admin, { root: true });
    copyFileSync(engines.path('a.key'), engines.path('b.key'));
    const connect = () => Promise.reject(new Error('nobody is there'));
    const refused = await engines.open('b', { connect }, { rootKey }).then(
      () => 'opened',
      ({ code, message }: CofferError) => `${code}: ${message}`,
    );
    expect(refused).toMatch(/^wrong_root_key: .*start this one when the bucket can be read.*nobody is there/);
  });

  it('are no members where the store does not open to them, and begin anew when it does', {
    timeout: 60_000,
  }, async () => {
    const engines = newEngines();
    const { engine } = await engines.open('a');
    await fresh(() => engine.put(admin, 'db', bytes('one')));
    await fresh(() => engine.put(admin, 'gone', bytes('two')));
    const members = async () => (await engine.storageStatus(admin)).shared?.members.map(({ name }) => name);
    const wrong = { rootKey: engines.rootKey('other.key') };
    expect(await codeOf(engines.open('b', {}, wrong))).toBe('no_root_key');
    expect(await codeOf(engines.open('b', {}, { development: true }))).toBe('development_store');
    await expect.poll(members).toEqual(['a']);
    expect((await engine.healStorage(admin, { dryRun: true })).absent).toEqual([]);
    await fresh(() => engine.delete(admin, 'gone'));
    const b = await engines.open('b');
    await expect.poll(members).toEqual(['a', 'b']);
    expect(text((await fresh(() => b.engine.get(admin, 'db'))).value)).toBe('one');
    expect(await codeOf(b.engine.get(admin, 'gone'))).toBe('not_found');
    expect(b.notices).toEqual([]);
    await b.engine.close();
    // One that was there before is waited for.
    expect(await codeOf(engines.open('b', {}, wrong))).toBe('no_root_key');
    expect(await members()).toEqual(['a', 'b']);
  });

  it('rotate a data key while they serve, over the death of one, and come back to it', {
    timeout: 120_000,
  }, async () => {
    const engines = newEngines();
    const [a, b] = [await engines.open('a'), await engines.open('b')];
    await fresh(() => a.engine.put(admin, 's0', bytes('value 0')));
    await Promise.all(
      Array.from({ length: 100 }, (_, index) => a.engine.put(admin, `s${index}`, bytes(`value ${index}`))),
    );
    await fresh(() => b.engine.rotateKeys(admin));
    await a.engine.close();
    const failed: string[] = [];
    let serving = true;
    const load = (async () => {
      for (let index = 0; serving; index++) {
        await b.engine
          .put(admin, `s${index % 100}`, bytes(`at ${index}`))
          .catch(({ code }) => failed.push(code));
        await b.engine.get(admin, `s${(index * 7) % 100}`).catch(({ code }) => failed.push(code));
      }
    })();
    const counts = async () => (await b.engine.keys(admin)).dataKeys.map(({ records }) => records > 0);
    await expect.poll(counts).toEqual([false, true]);
    const again = await engines.open('a');
    await expect.poll(counts, { timeout: 60_000 }).toEqual([true]);
    serving = false;
    await load;
    // A machine that has more to do than it can may be slower than the bound: then it says so.
    expect(failed.filter((code) => code !== 'stale' && code !== 'unavailable')).toEqual([]);
    expect(text((await fresh(() => again.engine.get(admin, 's3', 1))).value)).toBe('value 3');
    expect([...a.fatal, ...b.fatal, ...again.fatal]).toEqual([]);
  });
});
