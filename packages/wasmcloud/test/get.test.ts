import { createKeyPair, type KeyPair, seal } from '@coffer/identity';
import { headers } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { HOST_XKEY, operationSubject, SecretsError, SourceReason } from '../src/index.js';
import { NAME, World } from './world.js';

describe('get', () => {
  it('answers with a string and with bytes, each from a key of its own', async () => {
    await using world = await World.start();
    const text = `${canary('text')} "quoted" \\ \n\u0001 ä € 😀`;
    world.secrets.set('text', { version: '3', kind: 'string', value: text });
    world.secrets.set('bytes', {
      version: '1',
      kind: 'binary',
      value: Uint8Array.from([0, 9, 10, 99, 100, 255]),
    });
    expect(await world.ask('get', world.secretRequest('text'))).toEqual({
      secret: { version: '3', string_secret: text, binary_secret: null },
    });
    expect(await world.ask('get', world.secretRequest('bytes'))).toEqual({
      secret: { version: '1', string_secret: null, binary_secret: [0, 9, 10, 99, 100, 255] },
    });
    const [one, two] = await Promise.all([
      world.exchange('get', world.secretRequest('text')),
      world.exchange('get', world.secretRequest('text')),
    ]);
    expect(one.responseXkey).toMatch(/^X/);
    expect(one.responseXkey).not.toBe(two.responseXkey);
    expect(world.errors).toEqual([]);
  });

  it('tells the backend who asks, for what', async () => {
    const asked: unknown[] = [];
    await using world = await World.start({
      fetch: async (query, { entity, host, application }) => {
        asked.push({ query, entity: entity.key, account: entity.account, host: host.key, application });
        throw new SecretsError('PolicyError', 'no');
      },
    });
    const application = { name: 'app', policy: '{"a":1}' };
    const request = world.secretRequest('k', { field: 'f', version: '7' }, { application });
    expect(await world.ask('get', request)).toEqual({ error: { PolicyError: 'no' } });
    expect(asked).toEqual([
      {
        query: { key: 'k', field: 'f', version: '7' },
        entity: world.component.publicKey,
        account: world.account.publicKey,
        host: world.host.publicKey,
        application,
      },
    ]);
    expect(world.answered).toMatchObject([{ operation: 'get', result: 'PolicyError', stranger: false }]);
  });

  it('tells operators, and not the host, why it is refused where the error has no text', async () => {
    const causes = [new SourceReason('no such role'), new Error(canary('not for a log'))];
    await using world = await World.start({
      fetch: async () => {
        throw new SecretsError('Unauthorized', '', { cause: causes.shift() });
      },
    });
    for (let n = 0; n < 2; n++) {
      expect(await world.ask('get', world.secretRequest('k'))).toEqual({ error: 'Unauthorized' });
    }
    expect(world.answered.map(({ reason }) => reason)).toEqual(['no such role', undefined]);
  });

  it('names the mistake in a request that is none: without headers that, and then in the order of secrets-nats-kv', async () => {
    await using world = await World.start();
    const error = async (payload: string, told: Record<string, string> | null) =>
      (await world.send('get', payload, told)).json();
    const own = createKeyPair('curve').publicKey;
    expect(await error('', null)).toEqual({ error: 'InvalidHeaders' });
    expect(await error('', { other: 'y' })).toEqual({ error: 'InvalidPayload' });
    expect(await error('', { [HOST_XKEY]: createKeyPair('curve').publicKey })).toEqual({
      error: 'InvalidPayload',
    });
    expect(await error('x', null)).toEqual({ error: 'InvalidHeaders' });
    expect(await error('x', { other: 'y' })).toEqual({ error: 'InvalidXKey' });
    expect(await error('x', { [HOST_XKEY.toLowerCase()]: own })).toEqual({ error: 'InvalidXKey' });
    expect(await error('x', { [HOST_XKEY]: 'nonsense' })).toEqual({ error: 'InvalidXKey' });
    const account = createKeyPair('account').publicKey;
    expect(await error('x', { [HOST_XKEY]: account })).toEqual({ error: 'InvalidXKey' });
    expect(await error('x', { [HOST_XKEY]: own })).toEqual({ error: 'DecryptionError' });
    expect(await error('x'.repeat(300_000), { [HOST_XKEY]: own })).toEqual({ error: 'InvalidPayload' });
    expect(world.answered.every(({ stranger }) => stranger)).toBe(true);
  });

  it('takes no request that says twice who asks, or for what', async () => {
    await using world = await World.start();
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    const own = createKeyPair('curve');
    const request = JSON.stringify(world.secretRequest('k'));
    const box = seal(Buffer.from(request), own, (world.transit[0] as KeyPair).publicKey);
    const twice = headers();
    twice.append(HOST_XKEY, own.publicKey);
    twice.append(HOST_XKEY, createKeyPair('curve').publicKey);
    const subject = operationSubject({ name: NAME }, 'get');
    const answer = await world.nats.request(subject, box, { timeout: 10_000, headers: twice });
    expect(answer.json()).toEqual({ error: 'InvalidXKey' });
    const doubled = request.replace('{', '{"key":"other",');
    expect(await world.ask('get', doubled)).toEqual({ error: 'InvalidRequest' });
    expect(await world.ask('get', request)).toHaveProperty('secret');
  });
});
