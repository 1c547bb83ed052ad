import { encodeWascap } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { answering, backend, moduleOf, text } from './backend-world.js';
import { newKeys, until } from './nats-world.js';
import { WasmWorld } from './wasm-world.js';

describe('coffer’s own backend', () => {
  it('gives text as a string and other bytes as binary, by version or the active one', async () => {
    const world = await WasmWorld.start();
    await world.open();
    const bytes = Buffer.from([0xff, 0, 0x80]);
    await world.put('db', canary('one'));
    await world.put('db', canary('two'));
    await world.put('key', bytes);
    expect(await world.get('db')).toBe(`string 1 ${canary('one')}`);
    expect(await world.get('db', { version: '2' })).toBe(`string 2 ${canary('two')}`);
    expect(await world.get('key')).toBe(`binary 1 ${bytes.toString('hex')}`);
    const admin = await world.admin();
    await admin.putSecret('text', { kind: 'binary', value: Buffer.from('plain') });
    expect(await world.get('text')).toBe(`binary 1 ${Buffer.from('plain').toString('hex')}`);
  });

  it('gives an entry of a JSON object', async () => {
    const world = await WasmWorld.start();
    await world.open();
    await world.put('cfg', '{"user": "ada", "port": 5432, "pass": "a\\"\\u00e9", "more": {"a": [1.0, 2]} }');
    await world.put('list', '[1]');
    expect(await world.get('cfg', { field: 'user' })).toBe('string 1 ada');
    expect(await world.get('cfg', { field: 'pass' })).toBe('string 1 a"é');
    expect(await world.get('cfg', { field: 'port' })).toBe('string 1 5432');
    expect(await world.get('cfg', { field: 'more' })).toBe('string 1 {"a":[1.0,2]}');
    expect(await world.refusal('cfg', { field: 'nothing' })).toBe('SecretNotFound');
    expect(await world.refusal('list', { field: 'user' })).toBe('InvalidRequest');
  });

  it.each(['0', '-1', '1.0', '', 'latest', '4294967296', '01', '１'])(
    'takes no version %j',
    async (version) => {
      const world = await WasmWorld.start();
      await world.open();
      await world.put('db', 'x');
      expect(await world.refusal('db', { version })).toBe('InvalidRequest');
    },
  );

  it('tells what is not there from what may not be had, only to who may have it', async () => {
    const world = await WasmWorld.start();
    await world.grant({ to: [world.principal], actions: ['get'], secrets: ['mine/*'] });
    await world.put('mine/a', 'x');
    await world.put('other', 'x');
    expect(await world.refusal('mine/b')).toBe('SecretNotFound');
    expect(await world.refusal('mine/a', { version: '9' })).toBe('SecretNotFound');
    expect(await world.refusal('other')).toBe('Unauthorized');
    expect(await world.refusal('absent')).toBe('Unauthorized');
    expect(await world.refusal('mine/'.padEnd(2000, 'x'))).toBe('InvalidRequest');
  });

  it('narrows grants by application and host, and audits both with the principal', async () => {
    const world = await WasmWorld.start();
    await world.put('db', 'x');
    await world.grant({
      to: [world.principal],
      actions: ['get'],
      secrets: ['db'],
      when: { application: ['shop'], host: [world.host.publicKey] },
    });
    expect(await world.refusal('db')).toBe('Unauthorized');
    expect(await world.refusal('db', { application: { name: 'other' } })).toBe('Unauthorized');
    expect(await world.get('db', { application: { name: 'shop' } })).toBe('string 1 x');
    const gets = world.audit().filter(({ action }) => action === 'get');
    expect(gets.map(({ authorized }) => authorized)).toEqual([false, false, true]);
    expect(gets.at(-1)).toMatchObject({
      secret: 'db',
      principal: {
        id: world.principal,
        kind: 'component',
        user: 'hello',
        ip: 'nats',
        application: 'shop',
        host: world.host.publicKey,
      },
    });
  });

  it('refuses strangers, whom the audit log sums up, and who is revoked from the next request on', async () => {
    const world = await WasmWorld.start();
    await world.open();
    await world.put('db', 'x');
    const stranger = newKeys('account');
    expect(await world.refusal('db', { entityJwt: world.token(world.component, stranger) })).toMatch(
      /^InvalidEntityJWT: no trusted account/,
    );
    expect(await world.get('db')).toBe('string 1 x');
    await world.post('revocations', { key: world.component.publicKey, reason: 'leaked' });
    expect(await world.refusal('db')).toMatch(/^InvalidEntityJWT: this token is revoked/);
    await world.server.close();
    const told = world.audit().filter(({ action }) => action === 'refused');
    expect(told).toMatchObject([{ count: 2, busiest: [{ ip: 'nats', count: 2 }] }]);
  });

  it('believes only those hosts that the configuration names', async () => {
    const host = newKeys('server');
    const world = await WasmWorld.start({ wasmcloud: { hosts: { keys: [host.publicKey] } } });
    await world.open();
    await world.put('db', 'x');
    expect(await world.refusal('db')).toMatch(/^InvalidHostJWT: this host is none of those/);
    expect(await world.get('db', { hostJwt: world.token(host, host) })).toBe('string 1 x');
  });

  it('believes only those hosts also where nobody is trusted, and so does every other backend', async () => {
    const host = newKeys('server');
    const module = await moduleOf(answering(() => text('y')));
    const world = await WasmWorld.start({
      trust: undefined,
      wasmcloud: { trust: 'self-issued', hosts: { keys: [host.publicKey] } },
      backends: [backend('other', module, { trust: 'self-issued', grants: 'upstream' })],
    });
    await world.put('db', 'x');
    const principal = `component:self-issued/${world.component.publicKey}`;
    await world.grant({ to: [principal], actions: ['get'], secrets: ['db'] });
    const none = /^InvalidHostJWT: this host is none of those/;
    expect(await world.refusal('db')).toMatch(none);
    expect(await world.refusal('db', { backend: 'other' })).toMatch(none);
    const hostJwt = world.token(host, host);
    expect(await world.get('db', { hostJwt })).toBe('string 1 x');
    expect(await world.get('db', { hostJwt, backend: 'other' })).toBe('string 1 y');
  });

  it('believes any component on its own word where it is told to, and says so each time', async () => {
    const world = await WasmWorld.start({ trust: undefined, wasmcloud: { trust: 'self-issued' } });
    await world.put('db', 'x');
    expect(world.log.says('wasmcloud.trust is self-issued')).toHaveLength(1);
    const principal = `component:self-issued/${world.component.publicKey}`;
    await world.grant({ to: [principal], actions: ['get'], secrets: ['db'] });
    const anybody = { entityJwt: world.token(world.component, newKeys('account')) };
    expect(await world.get('db', anybody)).toBe('string 1 x');
    expect(await world.get('db', anybody)).toBe('string 1 x');
    expect(world.log.says('believed on its own word (').length).toBe(2);
    expect(await world.metrics()).toContain('coffer_wasmcloud_self_issued_total 2');
    const boasting = encodeWascap(
      { sub: world.component.publicKey, wascap: { name: 'x'.repeat(100_000) } },
      newKeys('account'),
    );
    expect(await world.get('db', { entityJwt: boasting })).toBe('string 1 x');
    const said = world.log.says('believed on its own word (');
    expect(said).toHaveLength(3);
    expect(JSON.stringify(said[2]).length).toBeLessThan(1_000);
  });

  it('gives who is trusted both principals, while others are believed on their own word', async () => {
    const world = await WasmWorld.start({ wasmcloud: { trust: 'self-issued' } });
    await world.put('db', 'x');
    const id = `component:self-issued/${world.component.publicKey}`;
    await world.grant({ to: [id], actions: ['get'], secrets: ['db'] });
    expect(await world.get('db')).toBe('string 1 x');
    expect(world.audit().at(-1)?.principal).toMatchObject({ id: world.principal, also: [id] });
    await world.grant({ to: [world.principal], actions: ['get'], secrets: ['db'] });
    expect(await world.get('db')).toBe('string 1 x');
    const other = { entityJwt: world.token(world.component, newKeys('account')) };
    expect(await world.refusal('db', other)).toBe('Unauthorized');
  });

  it('goes on while NATS is stopped and started again, and requests come', async () => {
    const world = await WasmWorld.start();
    await world.open();
    await world.put('db', 'x');
    expect(await world.get('db')).toBe('string 1 x');
    let asking = true;
    const answers = Array.from({ length: 8 }, async () => {
      let got = 0;
      while (asking) {
        if ((await world.get('db')) !== 'string 1 x') throw new Error('something else');
        got++;
      }
      return got;
    });
    for (const times of [1, 2]) {
      await world.nats.restart();
      const again = `coffer_nats_reconnects_total ${times}\n`;
      await until(async () => (await world.metrics()).includes(again), 'the connection to be made again');
    }
    const before = world.audit().length;
    await until(() => world.audit().length > before + 50, 'more answers');
    asking = false;
    for (const got of await Promise.all(answers)) expect(got).toBeGreaterThan(0);
  }, 60_000);
});
