import { createKeyPair, seal } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { HOST_XKEY, SecretsError } from '../src/index.js';
import { Administration } from './administration.js';
import { World } from './world.js';

const component = createKeyPair('component').publicKey;
const provider = createKeyPair('provider').publicKey;

describe('put_secret', () => {
  it('takes a string, or bytes, and of both the string; it answers as secrets-nats-kv', async () => {
    const operations = new Administration();
    await using world = await World.start({ operations });
    const put = async (message: object) =>
      await world.ask('put_secret', { key: 'k', version: '', ...message });
    expect(await put({ string_secret: canary('s') })).toEqual({ revision: 1, error: null });
    expect(await put({ string_secret: null, binary_secret: [1, 255] })).toEqual({ revision: 2, error: null });
    expect(await put({ string_secret: '', binary_secret: [1] })).toEqual({ revision: 3, error: null });
    expect(operations.puts).toEqual([
      { key: 'k', kind: 'string', value: canary('s') },
      { key: 'k', kind: 'binary', value: '\x01\xff' },
      { key: 'k', kind: 'string', value: '' },
    ]);
    expect(operations.askers[0]).toMatchObject({
      subject: 'wasmcloud.secrets.v1alpha1.nats-kv.put_secret',
      payload: expect.any(Uint8Array),
    });
    expect(operations.askers[0]?.proof).toBeUndefined();
  });

  it('answers refusals in the same form, whatever they are', async () => {
    const operations = new Administration();
    await using world = await World.start({ operations });
    const xkey = createKeyPair('curve').publicKey;
    const plain = async (payload: string, told: Record<string, string> | null) =>
      (await world.send('put_secret', payload, told)).json();
    expect(await plain('', { a: 'b' })).toEqual({ revision: 0, error: 'InvalidPayload' });
    expect(await plain('', null)).toEqual({ revision: 0, error: 'InvalidHeaders' });
    expect(await plain('x', null)).toEqual({ revision: 0, error: 'InvalidHeaders' });
    expect(await plain('x', { a: 'b' })).toEqual({ revision: 0, error: 'InvalidXKey' });
    expect(await plain('x', { [HOST_XKEY]: 'malformed' })).toEqual({ revision: 0, error: 'InvalidXKey' });
    expect(await plain('x', { [HOST_XKEY]: xkey })).toEqual({ revision: 0, error: 'DecryptionError' });
    const nothing = { key: 'k', version: '' };
    const wrong = [nothing, { ...nothing, string_secret: null }, { key: 'k', string_secret: 's' }, 'x', [1]];
    for (const message of wrong) {
      expect(await world.ask('put_secret', message)).toEqual({ revision: 0, error: 'InvalidPayload' });
    }
    operations.refuse = new SecretsError('Unauthorized');
    const whole = { ...nothing, string_secret: 's' };
    expect(await world.ask('put_secret', whole)).toEqual({ revision: 0, error: 'Unauthorized' });
    operations.refuse = new SecretsError('InvalidRequest');
    expect(await world.ask('put_secret', whole)).toEqual({ revision: 0, error: 'InvalidPayload' });
    expect(world.answered.at(-1)).toMatchObject({ result: 'InvalidPayload', stranger: false });
    operations.refuse = new Error(canary('never said'));
    expect(await world.ask('put_secret', whole)).toEqual({
      revision: 0,
      error: { Other: 'the backend failed, and has said why in its log' },
    });
    expect(world.errors).toEqual([operations.refuse]);
    expect(world.answered.at(-3)).toMatchObject({ result: 'Unauthorized', stranger: false });
    expect(operations.puts).toEqual([]);
  });
});

describe('mappings', () => {
  it('are added and removed by plain lists of names, and answered with ok or the error as text', async () => {
    const operations = new Administration();
    await using world = await World.start({ operations });
    const edit = async (subject: string, payload: string) =>
      (await world.send(subject, payload, null)).string();
    expect(await edit(`add_mapping.${component}`, '["b","a","b"]')).toBe('ok');
    expect(await edit(`add_mapping.${provider}`, '["c"]')).toBe('ok');
    expect(await edit(`remove_mapping.${component}`, '["a"]')).toBe('ok');
    expect(operations.all()).toEqual([
      { entity: component, names: ['b'] },
      { entity: provider, names: ['c'] },
    ]);
    expect(await edit(`add_mapping.${component}`, 'nonsense')).toBe('InvalidRequest');
    expect(await edit(`add_mapping.${component}`, '{"a":1}')).toBe('InvalidRequest');
    expect(await edit(`add_mapping.${component}`, '')).toBe('InvalidRequest');
    expect(await edit('add_mapping', '["a"]')).toBe('Other: no entity provided');
    const neither = 'Other: the subject ends in the public key of a component (M…) or a provider (V…)';
    for (const key of ['x', createKeyPair('server').publicKey, component.slice(0, -1)]) {
      expect(await edit(`remove_mapping.${key}`, '["a"]')).toBe(neither);
    }
    operations.refuse = new SecretsError('Unauthorized');
    expect(await edit(`add_mapping.${component}`, '["a"]')).toBe('Unauthorized');
    expect(operations.all()).toHaveLength(2);
  });

  it('are listed under seal, to whoever says to whom', async () => {
    const operations = new Administration();
    await operations.addMapping(component, ['b', 'a'], {
      subject: '',
      reply: '',
      payload: new Uint8Array(0),
    });
    await using world = await World.start({ operations });
    const mapping = { entity: component, names: ['a', 'b'] };
    expect(await world.ask('list_mappings', {})).toEqual({ mappings: [mapping] });
    const { plaintext, responseXkey } = await world.exchange(`list_mappings.${component}`, {});
    expect(JSON.parse(plaintext)).toEqual({ mappings: [mapping] });
    expect(responseXkey).toMatch(/^X/);
    expect((await world.send('list_mappings', 'x', null)).json()).toEqual({ error: 'InvalidHeaders' });
    expect((await world.send('list_mappings', 'x', { a: 'b' })).json()).toEqual({ error: 'InvalidXKey' });
    expect(await world.ask('list_mappings', '[]')).toEqual({ error: 'InvalidRequest' });
    expect(await world.ask('list_mappings.x', {})).toMatchObject({ error: { Other: expect.any(String) } });
    operations.refuse = new SecretsError('Unauthorized');
    expect(await world.ask('list_mappings', {})).toEqual({ error: 'Unauthorized' });
  });
});

describe('get_secret', () => {
  it('answers as get, and shows the backend what the sender shows', async () => {
    const operations = new Administration();
    await using world = await World.start({ operations });
    const headers = { 'Coffer-Proof': 'cfp1.a.b', 'Nats-Request-Info': '{"acc":"A"}' };
    expect(await world.ask('get_secret', { key: 'k', version: '2', field: 'f' }, headers)).toEqual({
      secret: { version: '2', string_secret: canary('k.f'), binary_secret: null },
    });
    expect(operations.askers).toMatchObject([{ proof: 'cfp1.a.b', requestInfo: '{"acc":"A"}' }]);
    expect(await world.ask('get_secret', { version: '2' })).toEqual({ error: 'InvalidRequest' });
    expect((await world.send('get_secret', 'x', null)).json()).toEqual({ error: 'InvalidHeaders' });
    operations.refuse = new SecretsError('SecretNotFound');
    expect(await world.ask('get_secret', { key: 'k' })).toEqual({ error: 'SecretNotFound' });
  });
});

describe('what is no operation', () => {
  it('is answered all the same, as is administration where a backend has none', async () => {
    await using world = await World.start();
    const told = async (subject: string) => (await world.send(subject, 'x')).string();
    expect(JSON.parse(await told('nonsense'))).toEqual({ error: { Other: 'unknown operation' } });
    expect(JSON.parse(await told('get.more'))).toEqual({ error: { Other: 'unknown operation' } });
    const none = 'this backend has no such operation';
    expect(JSON.parse(await told('put_secret'))).toEqual({ revision: 0, error: { Other: none } });
    expect(await told(`add_mapping.${component}`)).toBe(`Other: ${none}`);
    expect(JSON.parse(await told('list_mappings'))).toEqual({ error: { Other: none } });
    expect(JSON.parse(await told('get_secret'))).toEqual({ error: { Other: none } });
  });
});

describe('transit keys', () => {
  it('are all served, the newest is told, and each that opens a request is noted', async () => {
    await using world = await World.start();
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    const [old] = world.transit;
    const fresh = createKeyPair('curve');
    world.transit.unshift(fresh);
    expect((await world.send('server_xkey', '', null)).string()).toBe(fresh.publicKey);
    const sealedTo = async (key: string) => {
      const own = createKeyPair('curve');
      const message = Buffer.from(JSON.stringify(world.secretRequest('k')));
      const answer = await world.send('get', seal(message, own, key), { [HOST_XKEY]: own.publicKey });
      return answer.headers !== undefined;
    };
    const keys = [old, fresh, old, old, fresh].map((key) => key?.publicKey ?? '');
    for (const key of keys) expect(await sealedTo(key)).toBe(true);
    expect(world.used).toEqual(keys);
    world.transit.pop();
    expect(await sealedTo(old?.publicKey ?? '')).toBe(false);
    expect(world.answered.at(-1)).toMatchObject({ result: 'DecryptionError', stranger: true });
  });

  it('that are missing are our own mistake, and answered', async () => {
    await using world = await World.start();
    world.transit.pop();
    expect((await world.send('server_xkey', '', null)).json()).toMatchObject({
      error: { Other: expect.any(String) },
    });
    expect(world.errors).toHaveLength(1);
  });
});
