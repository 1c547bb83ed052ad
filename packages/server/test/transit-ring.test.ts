import { type Engine, SERVER } from '@coffer/engine';
import { createKeyPair, IdentityError, open, seal } from '@coffer/identity';
import { describe, expect, it, onTestFinished } from 'vitest';

import { rotateTransitKey, TransitRing } from '../src/wasmcloud/transit-ring.js';
import { TransitUse } from '../src/wasmcloud/transit-use.js';
import { startTestServer } from './support.js';

const backend = 'nats-kv';

/** A ring on the engine of a server, closed after the test. */
async function openRing(
  engine: Engine,
  options: { seed?: Uint8Array; use?: TransitUse; backend?: string } = {},
): Promise<{ ring: TransitRing; notices: string[] }> {
  const notices: string[] = [];
  const onNotice = (sentence: string) => void notices.push(sentence);
  const ring = await TransitRing.open({ engine, backend, use: new TransitUse(), onNotice, ...options });
  onTestFinished(() => ring.close());
  return { ring, notices };
}

const publicKeysOf = (ring: TransitRing) => ring.keys().map(({ publicKey }) => publicKey);

describe('a ring of transit keys', () => {
  it('makes its first key, and has the same one when it is opened again', async () => {
    const { engine } = await startTestServer();
    const { ring } = await openRing(engine);
    const { ring: again } = await openRing(engine);
    expect(publicKeysOf(ring)).toEqual([expect.stringMatching(/^X[A-Z2-7]{55}$/)]);
    expect(publicKeysOf(again)).toEqual(publicKeysOf(ring));
    const { ring: other } = await openRing(engine, { backend: 'vault' });
    expect(publicKeysOf(other)).not.toEqual(publicKeysOf(ring));
  });

  it('opens what was sealed to any of its keys, the old ones too, until they are retired', async () => {
    const { engine } = await startTestServer();
    const { ring } = await openRing(engine);
    const [old] = publicKeysOf(ring) as [string];
    const host = createKeyPair('curve');
    const sealed = seal(Buffer.from('a request'), host, old);
    const opens = () =>
      ring.keys().some((pair) => {
        try {
          return Buffer.from(open(sealed, pair, host.publicKey)).toString() === 'a request';
        } catch {
          return false;
        }
      });
    const { publicKey } = await rotateTransitKey(engine, backend, SERVER);
    expect([publicKeysOf(ring), opens()]).toEqual([[publicKey, old], true]);
    const [, pair] = ring.keys();
    await engine.retireTransitKey(SERVER, { backend, publicKey: old });
    expect([publicKeysOf(ring), opens()]).toEqual([[publicKey], false]);
    expect(() => pair?.seed()).toThrow(IdentityError);
  });

  it('takes a given seed for the current key once, and not again when another has replaced it', async () => {
    const { engine } = await startTestServer();
    const given = createKeyPair('curve');
    const seed = given.seed();
    const { ring } = await openRing(engine, { seed });
    expect(publicKeysOf(ring)).toEqual([given.publicKey]);
    const { publicKey } = await rotateTransitKey(engine, backend, SERVER);
    const { ring: again, notices } = await openRing(engine, { seed });
    expect([publicKeysOf(again), notices]).toEqual([[publicKey, given.publicKey], []]);

    await engine.retireTransitKey(SERVER, { backend, publicKey: given.publicKey });
    const { ring: without, notices: told } = await openRing(engine, { seed });
    expect(publicKeysOf(without)).toEqual([publicKey]);
    expect(told).toEqual([
      expect.stringMatching(/^The transit key of the given seed is not in use: .*retired/),
    ]);
  });

  it('adds a given seed before the keys that it has already', async () => {
    const { engine } = await startTestServer();
    const [old] = publicKeysOf((await openRing(engine)).ring);
    const given = createKeyPair('curve');
    const { ring } = await openRing(engine, { seed: given.seed() });
    expect(publicKeysOf(ring)).toEqual([given.publicKey, old]);
  });

  it.each([
    ['a user', createKeyPair('user').seed()],
    ['nothing', new Uint8Array()],
    ['a damaged one', createKeyPair('curve').seed().fill(65, 20, 24)],
  ])('refuses the seed of %s, and does not repeat it', async (_, seed) => {
    const { engine } = await startTestServer();
    const text = Buffer.from(seed).toString();
    const error = await openRing(engine, { seed }).catch((error: unknown) => error);
    expect(error).toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(/begin with SX/),
    });
    if (text !== '') expect(String(error)).not.toContain(text);
    expect(await engine.listTransitKeys(SERVER)).toEqual([]);
  });

  it('wipes its keys when it is closed, and follows no change any more', async () => {
    const { engine } = await startTestServer();
    const { ring } = await openRing(engine);
    const [pair] = ring.keys();
    ring.close();
    expect(() => pair?.seed()).toThrow(IdentityError);
    await rotateTransitKey(engine, backend, SERVER);
    expect(ring.keys()).toEqual([]);
  });

  it('opens nothing any more when a key cannot be read, and says so', async () => {
    const { engine } = await startTestServer();
    let broken = false;
    const failing = Object.create(engine, {
      transitKeys: {
        value: (name: string) => {
          if (broken) throw new Error('the record is damaged');
          return engine.transitKeys(name);
        },
      },
      addTransitKey: { value: engine.addTransitKey.bind(engine) },
      onTransitChange: { value: engine.onTransitChange.bind(engine) },
    }) as Engine;
    const { ring, notices } = await openRing(failing);
    broken = true;
    await rotateTransitKey(engine, backend, SERVER);
    expect(ring.keys()).toEqual([]);
    expect(notices).toEqual([expect.stringMatching(/nats-kv.*the record is damaged.*none is in use/)]);
  });

  it('remembers when each key was used last', async () => {
    const { engine } = await startTestServer();
    let now = new Date('2031-01-01T00:00:00Z');
    const use = new TransitUse(() => now);
    const { ring } = await openRing(engine, { use });
    const [key] = publicKeysOf(ring) as [string];
    expect(use.lastUsed(key)).toBeUndefined();
    ring.used(key);
    now = new Date('2031-01-02T00:00:00Z');
    ring.used(key);
    expect(use.lastUsed(key)).toEqual(now);
  });
});
