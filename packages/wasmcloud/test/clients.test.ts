import { createHash } from 'node:crypto';
import {
  createKeyPair,
  encodeJwt,
  matchesRequest,
  newUser,
  parseProof,
  verifyProofSignature,
} from '@coffer/identity';
import { headers } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { AdminClient, NoAnswerError, operationSubject, SecretsClient, SecretsError } from '../src/index.js';
import { sealAnswer } from '../src/protocol/sealing.js';
import { Administration } from './administration.js';
import { NAME, World } from './world.js';

const text = (secret: { readonly value: Uint8Array }): string => Buffer.from(secret.value).toString();

/** What a `get` needs beside its key. */
const asked = (world: World) => ({ backend: NAME, entityJwt: world.entityJwt, hostJwt: world.hostJwt });

describe('a host in TypeScript', () => {
  it('gets strings and bytes, versions and fields, and asks for the transit key once', async () => {
    await using world = await World.start();
    world.secrets.set('s', { version: '4', kind: 'string', value: canary('s') });
    world.secrets.set('b', { version: '1', kind: 'binary', value: Uint8Array.of(0, 255) });
    const client = new SecretsClient({ nats: world.nats });
    const get = (key: string, version?: string) => client.get({ ...asked(world), key, version });
    const together = await Promise.all([get('s'), get('s', '4'), get('s')]);
    expect(together.map(text)).toEqual(Array(3).fill(canary('s')));
    expect(together[0]).toMatchObject({ version: '4', kind: 'string' });
    expect(await get('b')).toMatchObject({ kind: 'binary', value: Uint8Array.of(0, 255) });
    await expect(get('s', '5')).rejects.toMatchObject({ code: 'SecretNotFound' });
    await expect(client.get({ ...asked(world), key: 's', entityJwt: 'x' })).rejects.toMatchObject({
      code: 'InvalidEntityJWT',
      text: expect.stringContaining('token'),
    });
    expect(world.answered.filter(({ operation }) => operation === 'server_xkey')).toHaveLength(1);
  });

  it('asks for the transit key anew when it is gone, once for a request', async () => {
    await using world = await World.start();
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    const client = new SecretsClient({ nats: world.nats });
    await client.get({ ...asked(world), key: 'k' });
    world.transit.splice(0, 1, createKeyPair('curve'));
    expect(text(await client.get({ ...asked(world), key: 'k' }))).toBe(canary('k'));
    const xkeys = () => world.answered.filter(({ operation }) => operation === 'server_xkey').length;
    expect(xkeys()).toBe(2);
    // One that says so of every request is believed, and not asked for ever.
    const lying = new SecretsClient({ nats: world.nats });
    const told = createKeyPair('curve').publicKey;
    world.nats.subscribe(operationSubject({ name: 'lying' }, 'server_xkey'), {
      callback: (_, message) => void message.respond(told),
    });
    world.nats.subscribe(operationSubject({ name: 'lying' }, 'get'), {
      callback: (_, message) => void message.respond('{"error":"DecryptionError"}'),
    });
    await expect(lying.get({ ...asked(world), backend: 'lying', key: 'k' })).rejects.toMatchObject({
      code: 'DecryptionError',
    });
  });

  it('comes back when the backend is busy, or is not there yet', async () => {
    let free = false;
    await using world = await World.start({
      maxInFlight: 1,
      fetch: async ({ key }) => {
        while (!free) await new Promise((resolve) => setTimeout(resolve, 5));
        return world.find(key);
      },
    });
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    const client = new SecretsClient({ nats: world.nats });
    const both = [1, 2].map(() => client.get({ ...asked(world), key: 'k' }));
    while (!world.answered.some(({ result }) => result === 'busy')) await new Promise(setImmediate);
    free = true;
    expect((await Promise.all(both)).map(text)).toEqual([canary('k'), canary('k')]);

    const late = client.get({ ...asked(world), backend: 'late', key: 'k' });
    await expect(
      world.nats.request(operationSubject({ name: 'late' }, 'server_xkey'), '', { timeout: 1000 }),
    ).rejects.toThrow();
    world.serve({ name: 'late' });
    expect(text(await late)).toBe(canary('k'));
  });

  it('gives up at its deadline, or when it is told to', async () => {
    await using world = await World.start({ fetch: () => new Promise(() => {}) });
    const told = asked(world);
    const client = new SecretsClient({ nats: world.nats, timeoutMs: 60, deadlineMs: 300 });
    const started = performance.now();
    await expect(client.get({ ...told, key: 'k' })).rejects.toThrow(NoAnswerError);
    expect(performance.now() - started).toBeLessThan(2_000);
    await expect(client.get({ ...told, backend: 'none', key: 'k' })).rejects.toThrow(/no backend listens/);
    const patient = new SecretsClient({ nats: world.nats });
    const abort = new AbortController();
    const waiting = patient.get({ ...told, key: 'k', signal: abort.signal });
    const retrying = patient.get({ ...told, backend: 'none', key: 'k', signal: abort.signal });
    const failed = Promise.all([waiting, retrying].map((one) => expect(one).rejects.toThrow('enough')));
    abort.abort(new Error('enough'));
    await failed;
    await expect(patient.get({ ...told, key: 'k', signal: abort.signal })).rejects.toThrow('enough');
    await expect(patient.get({ ...told, backend: 'a.b', key: 'k' })).rejects.toThrow(TypeError);
    // What never ends would keep the backend from draining.
    world.backends.length = 0;
  });

  it('takes no answer that is none', async () => {
    await using world = await World.start();
    const secret = { version: '1', string_secret: 'a', binary_secret: null };
    const answers: [string, unknown][] = [
      ['plain', { secret }],
      ['neither', { secret: { ...secret, string_secret: null } }],
      ['both', { secret: { ...secret, binary_secret: [1] } }],
      ['nothing', {}],
      ['no-version', { secret: { ...secret, version: '' } }],
      ['text', 'expected value at line 1'],
    ];
    const client = new SecretsClient({ nats: world.nats });
    for (const [name, answer] of answers) {
      const { transit } = world;
      world.nats.subscribe(operationSubject({ name }, 'server_xkey'), {
        callback: (_, message) => void message.respond(transit[0]?.publicKey),
      });
      world.nats.subscribe(operationSubject({ name }, 'get'), {
        callback: (_, message) => {
          const plaintext = Buffer.from(typeof answer === 'string' ? answer : JSON.stringify(answer));
          if (name === 'plain' || name === 'text') return void message.respond(plaintext);
          const { box, responseXkey } = sealAnswer(
            plaintext,
            message.headers?.get('WasmCloud-Host-Xkey') ?? '',
          );
          const hdrs = headers();
          hdrs.set('Server-Response-Xkey', responseXkey);
          message.respond(box, { headers: hdrs });
        },
      });
      await expect(client.get({ ...asked(world), backend: name, key: 'k' })).rejects.toMatchObject({
        code: 'Other',
        text: 'the answer of the backend is none of this protocol',
      });
    }
  });
});

describe('an administrator in TypeScript', () => {
  const user = createKeyPair('user');
  const proofUser = { jwt: encodeJwt(newUser(user.publicKey, 'u'), createKeyPair('account')), keyPair: user };
  const component = createKeyPair('component').publicKey;

  it('puts, maps, lists and gets', async () => {
    const operations = new Administration();
    await using world = await World.start({ operations });
    const admin = new AdminClient({ nats: world.nats, name: NAME });
    expect(await admin.putSecret('k', { kind: 'string', value: Buffer.from(canary('k')) })).toBe(1);
    expect(await admin.putSecret('k', { kind: 'binary', value: Uint8Array.of(0, 255) })).toBe(2);
    expect(operations.puts).toEqual([
      { key: 'k', kind: 'string', value: canary('k') },
      { key: 'k', kind: 'binary', value: '\x00\xff' },
    ]);
    await admin.addMapping(component, ['b', 'a']);
    expect(await admin.listMappings(component)).toEqual([{ entity: component, names: ['a', 'b'] }]);
    await admin.removeMapping(component, ['b']);
    expect(await admin.listMappings()).toEqual([{ entity: component, names: ['a'] }]);
    expect(await admin.getSecret({ key: 'k', version: '7' })).toMatchObject({ version: '7', kind: 'string' });
    expect(operations.askers.every(({ proof }) => proof === undefined)).toBe(true);
  });

  it('is told what the backend refuses', async () => {
    const operations = new Administration();
    await using world = await World.start({ operations });
    operations.refuse = new SecretsError('Unauthorized');
    const admin = new AdminClient({ nats: world.nats, name: NAME });
    const value = { kind: 'string', value: Buffer.from('v') } as const;
    const refused = { code: 'Unauthorized' };
    await expect(admin.putSecret('k', value)).rejects.toMatchObject(refused);
    await expect(admin.addMapping(component, ['a'])).rejects.toMatchObject(refused);
    await expect(admin.listMappings()).rejects.toMatchObject(refused);
    await expect(admin.getSecret({ key: 'k' })).rejects.toMatchObject(refused);
    await expect(admin.addMapping('MX', ['a'])).rejects.toMatchObject({ code: 'Other', text: /M…/ });
  });

  it('signs each request, as it is sent, for the transit key of the backend', async () => {
    const operations = new Administration();
    await using world = await World.start({ operations });
    const admin = new AdminClient({ nats: world.nats, name: NAME, proofUser });
    const operationId = 'change-1';
    await admin.putSecret('k', { kind: 'string', value: Buffer.from('v') }, { operationId });
    await admin.addMapping(component, ['a'], { operationId });
    await admin.listMappings();
    await admin.getSecret({ key: 'k' });
    expect(operations.askers).toHaveLength(4);
    for (const [i, { subject, payload, proof: shown = '' }] of operations.askers.entries()) {
      const proof = parseProof(shown);
      expect(proof.audience).toBe(`xkey:${world.transit[0]?.publicKey}`);
      expect(() => verifyProofSignature(proof, user.publicKey)).not.toThrow();
      expect(proof.id === operationId).toBe(i < 2);
      const bodyHash = createHash('sha256').update(payload).digest();
      const request = { method: 'NATS', path: `/${subject}`, bodyHash };
      expect(matchesRequest(proof, request)).toBe(true);
      expect(() => matchesRequest(proof, { ...request, path: `/${subject}x` })).toThrow(/path/);
    }
  });

  it('seals to the transit key that it is given, public or as a seed, and to no other', async () => {
    const operations = new Administration();
    await using world = await World.start({ operations });
    const [key] = world.transit;
    const seed = Buffer.from(key?.seed() ?? []).toString();
    for (const transitKey of [key?.publicKey, seed]) {
      const admin = new AdminClient({ nats: world.nats, name: NAME, transitKey });
      await admin.putSecret('k', { kind: 'string', value: Buffer.from('v') });
    }
    expect(world.answered.map(({ operation }) => operation)).toEqual(['put_secret', 'put_secret']);
    const wrong = new AdminClient({
      nats: world.nats,
      name: NAME,
      transitKey: createKeyPair('curve').publicKey,
    });
    await expect(wrong.getSecret({ key: 'k' })).rejects.toMatchObject({ code: 'DecryptionError' });
  });

  it('asks again for what is not made twice by it, and not for an unsigned change', async () => {
    await using world = await World.start();
    const subject = operationSubject({ name: 'deaf' }, 'add_mapping', component);
    const ids: string[] = [];
    world.nats.subscribe(operationSubject({ name: 'deaf' }, 'server_xkey'), {
      callback: (_, message) => void message.respond(world.transit[0]?.publicKey),
    });
    world.nats.subscribe(subject, {
      callback: (_, message) => {
        const proof = message.headers?.get('Coffer-Proof') || undefined;
        ids.push(proof === undefined ? '' : parseProof(proof).id);
        if (ids.length >= 3) message.respond('ok');
      },
    });
    const told = { nats: world.nats, name: 'deaf', timeoutMs: 50, deadlineMs: 5_000 };
    await expect(new AdminClient(told).addMapping(component, ['a'])).rejects.toThrow(NoAnswerError);
    expect(ids).toEqual(['']);
    await new AdminClient({ ...told, proofUser }).addMapping(component, ['a'], { operationId: 'once' });
    expect(ids.length).toBeGreaterThanOrEqual(3);
    expect(new Set(ids.slice(1))).toEqual(new Set(['once']));
  });
});
