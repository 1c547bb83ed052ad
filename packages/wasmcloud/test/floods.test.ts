import { createKeyPair, type KeyPair, open, seal } from '@coffer/identity';
import { headers } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { HOST_XKEY, operationSubject, RESPONSE_XKEY } from '../src/index.js';
import { NAME, until, World } from './world.js';

const SUBJECT = operationSubject({ name: NAME }, 'get');
const own = createKeyPair('curve');
/** What only opening it shows to be none. */
const GARBAGE = Buffer.concat([Buffer.from('xkv1'), Buffer.alloc(60, 7)]);
const BUSY = { error: { Other: 'busy' } };
/** Fewer than a backend has under way. */
const AT_ONCE = 200;

function hdrs() {
  const all = headers();
  all.set(HOST_XKEY, own.publicKey);
  return all;
}

async function withKeys(keys: number): Promise<World> {
  const world = await World.start();
  while (world.transit.length < keys) world.transit.unshift(createKeyPair('curve'));
  world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
  return world;
}

/** What a host is answered that knows this transit key. */
async function get(world: World, transit: KeyPair | undefined): Promise<unknown> {
  const request = Buffer.from(JSON.stringify(world.secretRequest('k')));
  const box = seal(request, own, transit?.publicKey ?? '');
  const answer = await world.nats.request(SUBJECT, box, { timeout: 10_000, headers: hdrs() });
  const sender = answer.headers?.get(RESPONSE_XKEY);
  return JSON.parse(Buffer.from(sender ? open(answer.data, own, sender) : answer.data).toString());
}

/** As fast as it is answered. */
async function flood(world: World, messages: number): Promise<unknown[]> {
  const answers: unknown[] = [];
  while (answers.length < messages) {
    const asked = Array.from({ length: AT_ONCE }, () =>
      world.nats.request(SUBJECT, GARBAGE, { timeout: 10_000, headers: hdrs() }),
    );
    answers.push(...(await Promise.all(asked)).map((answer) => answer.json()));
  }
  return answers;
}

describe('a flood of what no key opens', () => {
  it('has older transit keys tried so often and no more: hosts with the newest, or with the last that was of use, are served', async () => {
    await using world = await withKeys(8);
    const [newest, , , unused, , , used] = world.transit;
    expect(await get(world, used)).toHaveProperty('secret');
    const answers = await flood(world, 1_000);
    expect(answers).toContainEqual({ error: 'DecryptionError' });
    expect(answers).toContainEqual(BUSY);
    // Six older keys, 200 tries at once and 200 a second: some 33 messages, and as many each second.
    const opened = answers.filter((answer) => JSON.stringify(answer) !== JSON.stringify(BUSY)).length;
    expect(opened).toBeLessThan(500);
    await flood(world, 200);
    expect(await get(world, newest)).toHaveProperty('secret');
    expect(await get(world, used)).toHaveProperty('secret');
    expect(await get(world, newest)).toHaveProperty('secret');
    // Whoever asks again with another key is served once the flood has passed, if not at once.
    const end = Date.now() + 10_000;
    let answer = await get(world, unused);
    while (Date.now() < end && JSON.stringify(answer) === JSON.stringify(BUSY)) {
      answer = await get(world, unused);
    }
    expect(answer).toHaveProperty('secret');
    expect(world.answered.some(({ result, stranger }) => result === 'busy' && stranger)).toBe(true);
    expect(world.errors).toEqual([]);
  });

  it('costs a try of no older key where it has not even the form of a box', async () => {
    await using world = await withKeys(32);
    for (let i = 0; i < 50; i++) {
      expect((await world.send('get', 'garbage', { [HOST_XKEY]: own.publicKey })).json()).toEqual({
        error: 'DecryptionError',
      });
    }
  });

  it('is taken up in small parts, in its order, and ends before a drain does', async () => {
    await using world = await withKeys(2);
    const perTurn: number[] = [];
    let begun = 0;
    const other = world.serve({
      name: 'other',
      transitKeys: {
        keys: () => {
          if (begun++ === 0) {
            setImmediate(() => {
              perTurn.push(begun);
              begun = 0;
            });
          }
          return world.transit;
        },
        used: () => {},
      },
    });
    await world.backendNats.flush();
    const order: string[] = [];
    world.nats.subscribe('answers.*', { callback: (_, { subject }) => void order.push(subject) });
    const expected = Array.from({ length: AT_ONCE }, (_, i) => `answers.${i}`);
    for (const reply of expected) {
      world.nats.publish(operationSubject({ name: 'other' }, 'get'), GARBAGE, { headers: hdrs(), reply });
    }
    await world.nats.flush();
    await other.drain();
    expect(other.inFlight).toBe(0);
    await until(() => order.length === AT_ONCE, 'all answers');
    expect(order).toEqual(expected);
    // Those of one turn, and those that waited for the next, which are let in before this counts.
    expect(Math.max(...perTurn)).toBeLessThanOrEqual(32);
  });
});
