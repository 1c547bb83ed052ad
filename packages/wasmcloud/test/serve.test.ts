import { connect } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { canary, findCanary } from '../../../test/support/canary.mjs';
import { NatsServer } from '../../../test/support/nats.mjs';
import { operationSubject, SecretsClient } from '../src/index.js';
import { RawPublisher } from './raw-publisher.js';
import { NAME, until, World } from './world.js';

/** A `fetch` that waits until it is let go. */
class Gate {
  readonly #waiting: (() => void)[] = [];

  get waiting(): number {
    return this.#waiting.length;
  }

  pass(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  open(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

async function gated(maxInFlight?: number) {
  const gate = new Gate();
  let world: World | undefined;
  world = await World.start({
    maxInFlight,
    fetch: async ({ key }) => {
      await gate.pass();
      return (world as World).find(key);
    },
  });
  world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
  return { gate, world };
}

describe('a backend', () => {
  it('has so many requests under way and no more: others are told that it is busy', async () => {
    const { gate, world: started } = await gated(3);
    await using world = started;
    const [backend] = world.backends;
    const kept = Array.from({ length: 3 }, () => world.ask('get', world.secretRequest('k')));
    await until(() => gate.waiting === 3, 'three requests');
    expect(backend?.inFlight).toBe(3);
    const busy = { Other: 'busy' };
    expect(await world.ask('get', world.secretRequest('k'))).toEqual({ error: busy });
    expect(await world.ask('put_secret', {})).toEqual({ revision: 0, error: busy });
    expect((await world.send('add_mapping.x', '[]')).string()).toBe('Other: busy');
    expect((await world.send('list_mappings', '')).json()).toEqual({ error: busy });
    expect((await world.send('server_xkey', '')).string()).toBe(world.transit[0]?.publicKey);
    gate.open();
    for (const answer of await Promise.all(kept)) expect(answer).toHaveProperty('secret');
    await until(() => backend?.inFlight === 0, 'the end of all requests');
    expect(world.answered.filter(({ result }) => result === 'busy')).toHaveLength(4);
    expect(world.answered.every(({ stranger }) => !stranger)).toBe(true);
  });

  it('does nothing for whom nobody answers to, as secrets-nats-kv', async () => {
    let fetched = 0;
    await using world = await World.start({
      fetch: async ({ key }) => {
        fetched++;
        return world.find(key);
      },
    });
    world.nats.publish(operationSubject({ name: NAME }, 'get'), 'x');
    world.nats.publish(operationSubject({ name: NAME }, 'put_secret'), 'x');
    await until(() => world.answered.length === 2, 'both messages');
    expect(world.answered.map(({ operation, result }) => `${operation} ${result}`)).toEqual([
      'get dropped',
      'put_secret dropped',
    ]);
    expect(fetched).toBe(0);
  });

  it('is not cut off by whom it could answer to with an endless line only', async () => {
    await using world = await World.start();
    let disconnected = false;
    void (async () => {
      for await (const { type } of world.backendNats.status()) disconnected ||= type === 'disconnect';
    })();
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    const publisher = await RawPublisher.to(world.server);
    const subject = operationSubject({ name: NAME }, 'get');
    const payload = Buffer.from('x');
    // Each of these bytes is read as a character of three.
    publisher.publish(subject, new Uint8Array(3_000).fill(0xff), { payload });
    publisher.publish(subject, 'a\u00a0b', { payload });
    await until(() => world.answered.length === 2, 'both messages');
    expect(world.answered.map(({ result }) => result)).toEqual(['dropped', 'dropped']);
    expect(await world.ask('get', world.secretRequest('k'))).toHaveProperty('secret');
    expect(disconnected).toBe(false);
    expect(world.errors).toEqual([]);
    publisher.close();
  });

  it('says that a value does not fit, and by how much, as the server has it', async () => {
    await using world = await World.start({ config: 'max_payload: 16KB' });
    const whole = (length: number) => ({ version: '1', kind: 'string', value: 'x'.repeat(length) }) as const;
    // What is around a value: its JSON, the box, and the headers.
    const around =
      JSON.stringify({ secret: { version: '1', string_secret: '', binary_secret: null } }).length + 44 + 92;
    world.secrets.set('fits', whole(16 * 1024 - around));
    world.secrets.set('more', whole(16 * 1024 - around + 1));
    expect(await world.ask('get', world.secretRequest('fits'))).toHaveProperty('secret');
    expect(await world.ask('get', world.secretRequest('more'))).toEqual({
      error: {
        Other: 'the answer has 16385 bytes and does not fit into max_payload of the NATS server, 16384 bytes',
      },
    });
    expect(world.errors).toEqual([]);
  });

  it('asks for the limit of the server that it is connected to by then', async () => {
    const small = await NatsServer.start({ config: 'max_payload: 16KB' });
    await using world = await World.start();
    world.secrets.set('k', { version: '1', kind: 'string', value: 'x'.repeat(20_000) });
    const nats = await connect({
      servers: [small.url, world.server.url],
      noRandomize: true,
      reconnectTimeWait: 10,
    });
    const name = 'moving';
    const backend = world.serve({ nats, name });
    await nats.flush();
    const asking = await connect({ servers: small.url });
    const jwts = { entityJwt: world.entityJwt, hostJwt: world.hostJwt };
    const before = new SecretsClient({ nats: asking }).get({ backend: name, key: 'k', ...jwts });
    await expect(before).rejects.toThrow(/does not fit into max_payload of the NATS server, 16384 bytes/);
    await asking.close();
    await small.stop();
    const after = await new SecretsClient({ nats: world.nats }).get({ backend: name, key: 'k', ...jwts });
    expect(after.value).toHaveLength(20_000);
    await backend.drain();
    await nats.close();
  });

  it('stands beside others of other names and prefixes in one process', async () => {
    await using world = await World.start();
    const names = [
      { name: 'vault' },
      { name: 'kube', prefix: 'other.prefix' },
      { name: NAME, prefix: 'other.prefix' },
    ];
    for (const address of names) {
      world.serve({
        ...address,
        fetch: async () => ({
          version: '1',
          kind: 'string',
          value: Buffer.from(Object.values(address).join()),
        }),
      });
    }
    world.secrets.set('k', { version: '1', kind: 'string', value: 'here' });
    await world.backendNats.flush();
    const told: string[] = [];
    for (const { name, prefix } of [{ name: NAME }, ...names] as { name: string; prefix?: string }[]) {
      const client = new SecretsClient({ nats: world.nats, prefix });
      const jwts = { entityJwt: world.entityJwt, hostJwt: world.hostJwt };
      told.push(Buffer.from((await client.get({ backend: name, key: 'k', ...jwts })).value).toString());
    }
    expect(told).toEqual(['here', 'vault', 'kube,other.prefix', `${NAME},other.prefix`]);
  });

  it('answers its own mistakes without a word of them, and whoever listens may fail', async () => {
    let listened = 0;
    await using world = await World.start({
      fetch: async ({ key }) => {
        if (key === 'throws') throw new Error(canary('told to nobody'));
        return { version: '1', kind: 'string', value: Uint8Array.of(0xff) };
      },
      onAnswered: () => {
        listened++;
        throw new Error('a listener’s mistake');
      },
    });
    const failed = { error: { Other: 'the backend failed, and has said why in its log' } };
    for (const key of ['throws', 'not UTF-8']) {
      const { plaintext } = await world.exchange('get', world.secretRequest(key));
      expect(JSON.parse(plaintext)).toEqual(failed);
      expect(findCanary(plaintext)).toBeUndefined();
    }
    await until(() => listened === 2, 'both listeners');
    expect(world.errors.map(String)).toEqual([
      expect.stringContaining('told to nobody'),
      'Error: a listener’s mistake',
      expect.stringContaining('no UTF-8'),
      'Error: a listener’s mistake',
    ]);
  });

  it('wipes what it was given', async () => {
    const given: Uint8Array[] = [];
    await using world = await World.start({
      fetch: async () => {
        const value = new TextEncoder().encode(canary('k'));
        given.push(value);
        return { version: '1', kind: 'string', value };
      },
    });
    expect(await world.ask('get', world.secretRequest('k'))).toHaveProperty('secret');
    expect(given[0]?.every((byte) => byte === 0)).toBe(true);
  });

  it('says so when NATS does not let it subscribe', async () => {
    const config = `authorization: { users: [
      { user: backend, password: p, permissions: { subscribe: "_INBOX.>" } }, { user: any, password: p } ] }
      no_auth_user: any`;
    await using world = await World.start({ config });
    const nats = await connect({ servers: world.server.url, user: 'backend', pass: 'p' });
    const backend = world.serve({ nats, name: 'refused' });
    expect(backend.serving).toBe(true);
    await until(() => !backend.serving, 'the refusal');
    expect(String(world.errors[0])).toContain('Permissions Violation');
    await backend.drain();
    await nats.close();
  });

  it('goes on when NATS has gone and come back', async () => {
    await using world = await World.start();
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    await world.server.restart();
    const client = new SecretsClient({ nats: world.nats, timeoutMs: 500 });
    const jwts = { entityJwt: world.entityJwt, hostJwt: world.hostJwt };
    expect(await client.get({ backend: NAME, key: 'k', ...jwts })).toMatchObject({ version: '1' });
  });
});

describe('draining', () => {
  it('answers what it has, takes no more, and ends', async () => {
    const { gate, world: started } = await gated();
    await using world = started;
    const [backend] = world.backends;
    const kept = Array.from({ length: 20 }, () => world.ask('get', world.secretRequest('k')));
    await until(() => gate.waiting === 20, 'the requests');
    let drained = false;
    const draining = backend?.drain().then(() => {
      drained = true;
    });
    expect(backend?.serving).toBe(false);
    // Until NATS knows, it delivers, and is answered.
    const answered = () => world.send('server_xkey', '').then(() => true, String);
    let still: unknown = true;
    while (still === true) still = await answered();
    expect(still).toContain('no responders');
    expect(drained).toBe(false);
    gate.open();
    for (const answer of await Promise.all(kept)) expect(answer).toHaveProperty('secret');
    await draining;
    await backend?.drain();
  });

  it('ends also when the connection is closed, or NATS is gone', async () => {
    await using world = await World.start();
    const gone = await NatsServer.start();
    const orphan = await connect({ servers: gone.url, reconnectTimeWait: 20, maxReconnectAttempts: -1 });
    const orphaned = world.serve({ nats: orphan, name: 'orphan' });
    await orphan.flush();
    await gone.stop();
    await orphaned.drain();
    await orphan.close();
    const nats = await connect({ servers: world.server.url });
    const backend = world.serve({ nats, name: 'closed' });
    await nats.close();
    await until(() => !backend.serving, 'the end');
    await backend.drain();
  });

  it('loses nothing under load, while members of its queue group come and go', async () => {
    await using world = await World.start();
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    const other = await connect({ servers: world.server.url });
    let running = true;
    const counts = { ok: 0 };
    const failures: unknown[] = [];
    const caller = async () => {
      while (running) {
        const answer = (await world.ask('get', world.secretRequest('k'))) as { secret?: object };
        if (answer.secret) counts.ok++;
        else failures.push(answer);
      }
    };
    // One request each, without any retry: none may fail.
    const callers = Array.from({ length: 16 }, () =>
      caller().catch((error: unknown) => failures.push(error)),
    );
    let member = world.serve({ nats: other });
    await other.flush();
    for (let times = 0; times < 5; times++) {
      const before = counts.ok;
      await until(() => counts.ok >= before + 50 || failures.length > 0, 'fifty answers');
      await member.drain();
      const alone = counts.ok;
      await until(() => counts.ok >= alone + 50 || failures.length > 0, 'fifty answers of the other member');
      member = world.serve({ nats: other });
      await other.flush();
    }
    running = false;
    await Promise.all(callers);
    expect(failures).toEqual([]);
    await member.drain();
    await other.close();
  });
});
