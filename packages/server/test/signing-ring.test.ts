import { CofferError, SERVER } from '@coffer/engine';
import { createKeyPair, verify } from '@coffer/identity';
import { describe, expect, it, onTestFinished } from 'vitest';
import { rotateSigningKey, SigningRing } from '../src/backends/signing-ring.js';
import { backendConfigs } from '../src/config/backends.js';
import { TransitRing } from '../src/wasmcloud/transit-ring.js';
import { TransitUse } from '../src/wasmcloud/transit-use.js';
import { SETEC_HEADERS, send, startTestServer } from './support.js';
import { WasmWorld } from './wasm-world.js';

const backend = 'vault';
const LATER_MS = 10_001;

async function world() {
  const server = await startTestServer();
  const { engine } = server;
  let ahead = 0;
  const now = () => new Date(Date.now() + ahead);
  const ring = await SigningRing.open({ engine, backend, now, onNotice: () => {} });
  onTestFinished(() => ring.close());
  const wait = (ms: number) => {
    ahead += ms;
  };
  return { server, engine, ring, wait };
}

describe('a ring of keys that sign', () => {
  it('makes its first key, apart from those that requests are sealed to, and has it when it is opened again', async () => {
    const { engine, ring } = await world();
    const sealing = await TransitRing.open({ engine, backend, use: new TransitUse(), onNotice: () => {} });
    onTestFinished(() => sealing.close());
    const again = await SigningRing.open({ engine, backend, onNotice: () => {} });
    onTestFinished(() => again.close());
    expect(ring.all()).toEqual([expect.stringMatching(/^N[A-Z2-7]{55}$/)]);
    expect(again.all()).toEqual(ring.all());
    expect(sealing.keys().map(({ publicKey }) => publicKey)).toEqual([expect.stringMatching(/^X/)]);
    expect(engine.transitKeys(backend)).toHaveLength(1);
  });

  it('signs with a new key once everybody has had the time to hear of it, and knows both until the old one is retired', async () => {
    const { engine, ring, wait } = await world();
    const [first = ''] = ring.all();
    const { publicKey: second } = await rotateSigningKey(engine, backend, SERVER);
    expect(ring.all()).toEqual([second, first]);
    expect(ring.current().publicKey).toBe(first);
    wait(LATER_MS);
    const message = Buffer.from('who asks');
    const signer = ring.current();
    expect(signer.publicKey).toBe(second);
    expect(verify(second, message, signer.sign(message))).toBe(true);
    const current = engine.retireTransitKey(SERVER, { backend, publicKey: second });
    await expect(current).rejects.toThrow(/this is the current signing key: rotate it/);
    await engine.retireTransitKey(SERVER, { backend, publicKey: first });
    expect(ring.all()).toEqual([second]);
    expect(ring.current().publicKey).toBe(second);
  });

  it('tells when a key is lost, and not when one is added', async () => {
    const { engine, ring } = await world();
    const [first = ''] = ring.all();
    let shown: readonly string[] = [];
    let times = 0;
    ring.onLost(() => {
      times++;
      shown = ring.all();
    });
    const { publicKey: second } = await rotateSigningKey(engine, backend, SERVER);
    expect(times).toBe(0);
    await engine.retireTransitKey(SERVER, { backend, publicKey: first });
    expect([times, shown]).toEqual([1, [second]]);
  });

  it('signs with a key of an instance whose clock is ahead as soon as with one of its own', async () => {
    const { engine, ring, wait } = await world();
    // By our clock the key is made in an hour.
    wait(-60 * 60 * 1000);
    const { publicKey: second } = await rotateSigningKey(engine, backend, SERVER);
    expect(ring.current().publicKey).not.toBe(second);
    wait(LATER_MS);
    expect(ring.current().publicKey).toBe(second);
  });

  it.each([
    ['server', []],
    ['user', [/that of a NATS user: .* as well/]],
    ['account', [/that of a NATS account/]],
  ] as const)(
    'takes the seed of a %s, as secrets-vault does, and says what that means',
    async (kind, said) => {
      const { engine } = await startTestServer();
      const pair = createKeyPair(kind);
      const notices: string[] = [];
      const onNotice = (sentence: string) => void notices.push(sentence);
      const ring = await SigningRing.open({ engine, backend, seed: pair.seed(), onNotice });
      onTestFinished(() => ring.close());
      expect(notices).toEqual(said.map((sentence) => expect.stringMatching(sentence)));
      const message = Buffer.from('who asks');
      expect(verify(pair.publicKey, message, ring.current().sign(message))).toBe(true);
    },
  );

  it('takes no seed of an xkey, which signs nothing', async () => {
    const { engine } = await startTestServer();
    const seed = createKeyPair('curve').seed();
    const opening = SigningRing.open({ engine, backend, seed, onNotice: () => {} });
    await expect(opening).rejects.toThrow(/^the seed of a signing key is that of an nkey/);
  });

  it('is listed, rotated and retired over HTTP beside the transit keys', async () => {
    const { server, ring } = await world();
    const post = async (path: string, body: object) => {
      const sent = { method: 'POST', headers: SETEC_HEADERS, body: JSON.stringify(body) };
      const answer = await send(server, `/api/admin/transit-keys/${path}`, sent);
      return { status: answer.status, ...JSON.parse(answer.body) };
    };
    const [first] = ring.all();
    const rotated = await post('rotate', { backend, use: 'signing' });
    expect(rotated).toMatchObject({ status: 200, backend, current: true, publicKey: ring.all()[0] });
    expect(ring.all()).toEqual([rotated.publicKey, first]);
    expect(await post('retire', { backend, publicKey: first })).toEqual({ status: 200 });
    const { body } = await send(server, '/api/admin/transit-keys', { headers: SETEC_HEADERS });
    expect(JSON.parse(body).keys).toMatchObject([{ backend, publicKey: rotated.publicKey, current: true }]);
    expect(await post('rotate', { backend: 'unknown', use: 'signing' })).toMatchObject({ status: 404 });
  });
});

describe('GET /.well-known/keys', () => {
  it('has the keys of all backends, and behind its name those of one', async () => {
    const settings = { address: 'http://127.0.0.1:1' };
    const stated = ['one', 'a%2fb'].map((name) => ({ name, kind: 'vault' as const, settings }));
    const backends = backendConfigs(stated, undefined);
    const { server } = await WasmWorld.start({
      listen: '127.0.0.1:0',
      jwksListen: '127.0.0.1:0',
      backends,
    });
    const at = async (path: string) => {
      const { status, body } = await send(server, `/.well-known/keys${path}`);
      const { host, port } = server.keysAddress ?? {};
      const alone = await fetch(`http://${host}:${port}/.well-known/keys${path}`);
      expect([alone.status, await alone.text()]).toEqual([status, body]);
      return JSON.parse(body).keys.map(({ kid }: { kid: string }) => kid);
    };
    const [all, one, other] = [await at(''), await at('/one?x=1'), await at('/a%252fb')];
    expect(all).toEqual([...one, ...other]);
    expect([one.length, other.length]).toEqual([1, 1]);
    Object.defineProperty(server.engine, 'stale', {
      get: () => new CofferError('stale', 'what is here is too old'),
      configurable: true,
    });
    const { host, port } = server.keysAddress ?? {};
    const alone = await fetch(`http://${host}:${port}/.well-known/keys/one`);
    const stale = await send(server, '/.well-known/keys/one');
    expect([alone.status, stale.status]).toEqual([503, 503]);
    expect([alone.headers.get('connection'), stale.headers.connection]).toEqual(['close', 'close']);
    expect(`${await alone.text()}${stale.body}`).not.toContain(one[0]);
    Reflect.deleteProperty(server.engine, 'stale');
    // A mistake in Vault's jwks_url is told when that is written.
    for (const path of ['/', '/none', '/one/', '/%', '/nats-kv']) {
      const there = `/.well-known/keys${path}`;
      const answers = [await send(server, there), await fetch(`http://${host}:${port}${there}`)];
      expect(answers.map(({ status }) => status)).toEqual([404, 404]);
    }
  });

  it('is empty where nothing is signed, and for everybody', async () => {
    const server = await startTestServer({ dev: false });
    const { status, body } = await send(server, '/.well-known/keys');
    expect([status, body]).toEqual([200, '{"keys":[]}']);
  });
});
