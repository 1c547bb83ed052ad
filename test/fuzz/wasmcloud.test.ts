/**
 * Whatever comes in at the NATS door: an answer of the protocol to each message that has a reply subject, no mistake of our own,
 * memory that does not grow, and everybody else served. FUZZ_MESSAGES says how many messages (5,000), FUZZ_SEED repeats a run.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SecretsClient } from '../../packages/wasmcloud/src/index.js';
import { RawPublisher } from '../../packages/wasmcloud/test/raw-publisher.js';
import { NAME, World } from '../../packages/wasmcloud/test/world.js';
import { canary } from '../support/canary.mjs';
import { type Message, messages } from './wasmcloud-messages.js';

const MESSAGES = Number(process.env.FUZZ_MESSAGES ?? 5_000);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
const AT_ONCE = 50;
/** A message is answered within microseconds; a machine may be busy. */
const PATIENCE_MS = 30_000;
/** What may have grown since a third of all messages: none may leave anything behind. What is resident, malloc keeps for later. */
const GROWTH = { heap: 8 * 1024 * 1024, resident: 128 * 1024 * 1024 };
const CODES =
  /^(SecretNotFound|InvalidXKey|EncryptionError|DecryptionError|Unauthorized|InvalidRequest|InvalidPayload|InvalidHeaders|InvalidEntityJWT: .+|InvalidHostJWT: .+|UpstreamError: .*|PolicyError: .*|Other: .+)$/s;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function memory(): { heap: number; resident: number } {
  collect();
  collect();
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, resident: rss };
}

/** What is wrong with an answer; undefined: nothing. */
function problemWith(operation: string, data: Uint8Array, sealed: boolean, xkey: string): string | undefined {
  const text = Buffer.from(data).toString();
  const [name = ''] = operation.split('.');
  if (operation === 'server_xkey') return text === xkey ? undefined : 'no xkey';
  if (sealed) return ['get', 'get_secret', 'list_mappings'].includes(name) ? undefined : 'sealed';
  if (name === 'add_mapping' || name === 'remove_mapping') {
    // A subject with more tokens is of no known operation.
    if (operation.split('.').length <= 2) return text === 'ok' || CODES.test(text) ? undefined : 'no text';
  }
  const { revision, error } = JSON.parse(text) as {
    revision?: number;
    error: string | Record<string, string> | null;
  };
  if (operation === 'put_secret' ? !Number.isInteger(revision) : revision !== undefined)
    return 'another form';
  if (error === null) return operation === 'put_secret' ? undefined : 'neither';
  const said =
    typeof error === 'string'
      ? error
      : Object.entries(error)
          .map((pair) => pair.join(': '))
          .join();
  return CODES.test(said) && said !== 'Other: busy' ? undefined : said;
}

describe('the NATS door', () => {
  it('answers every message, and goes on', { timeout: 3_600_000 }, async () => {
    const results = new Map<string, number>();
    const count = (what: string) => void results.set(what, (results.get(what) ?? 0) + 1);
    await using world = await World.start({
      onAnswered: ({ operation, result }) => count(`${operation} ${result}`),
      operations: {
        putSecret: async () => 1,
        addMapping: async () => {},
        removeMapping: async () => {},
        listMappings: async () => [],
        getSecret: async () => ({ version: '1', kind: 'string', value: Buffer.from(canary('fuzz')) }),
      },
    });
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('fuzz') });
    const xkey = world.transit[0]?.publicKey ?? '';
    const { entityJwt, hostJwt } = world;
    const arbitrary = messages({ transitKey: xkey, entityJwt, hostJwt });
    const client = new SecretsClient({ nats: world.nats, timeoutMs: PATIENCE_MS });
    const publisher = await RawPublisher.to(world.server);
    const waiting = new Map<string, (problem: string | undefined) => void>();
    const sent = new Map<string, Message>();
    world.nats.subscribe('fuzz.*', {
      callback: (_, { subject, data, headers }) => {
        const { operation = '' } = sent.get(subject) ?? {};
        waiting.get(subject)?.(problemWith(operation, data, headers !== undefined, xkey));
        waiting.delete(subject);
      },
    });
    await world.nats.flush();
    const started = performance.now();
    let before: ReturnType<typeof memory> | undefined;
    let neighbours = 0;
    for (let done = 0; done < MESSAGES; done += AT_ONCE) {
      if (done >= MESSAGES / 3) before ??= memory();
      const batch = fc.sample(arbitrary, { numRuns: AT_ONCE, seed: SEED + done });
      const answers = batch.map(async (message, i) => {
        const reply = `fuzz.${done + i}`;
        sent.set(reply, message);
        const answer = new Promise<string | undefined>((resolve) => void waiting.set(reply, resolve));
        publisher.publish(`wasmcloud.secrets.v1alpha1.${NAME}.${message.operation}`, reply, message);
        const problem = await withinPatience(
          answer,
          `seed ${SEED}, message ${done + i}: ${describeMessage(message)}`,
        );
        if (problem !== undefined) throw new Error(`seed ${SEED}, message ${done + i}: ${problem}`);
        sent.delete(reply);
      });
      const neighbour = client.get({ backend: NAME, key: 'k', entityJwt, hostJwt });
      await Promise.all(answers);
      const { value } = await neighbour;
      expect(Buffer.from(value).toString()).toBe(canary('fuzz'));
      neighbours++;
    }
    const after = memory();
    const seconds = (performance.now() - started) / 1000;
    expect(world.errors).toEqual([]);
    expect(publisher.errors).toEqual([]);
    const heap = after.heap - (before?.heap ?? 0);
    const resident = after.resident - (before?.resident ?? 0);
    expect(heap).toBeLessThan(GROWTH.heap);
    expect(resident).toBeLessThan(GROWTH.resident);
    // Garbage alone would prove little.
    for (const reached of [
      'get ok',
      'put_secret ok',
      'add_mapping ok',
      'get InvalidEntityJWT',
      'get InvalidHostJWT',
    ]) {
      expect(results.get(reached), reached).toBeGreaterThan(0);
    }
    publisher.close();
    const summary = [...results].sort(([, a], [, b]) => b - a).map(([what, times]) => `${what} ${times}`);
    console.log(
      `${MESSAGES} messages and ${neighbours} of neighbours in ${seconds.toFixed(1)} s, ${mebibytes(heap)} more on the heap and ${mebibytes(resident)} more resident; ${summary.join(', ')}`,
    );
  });
});

const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

const describeMessage = ({ operation, headers, payload }: Message): string =>
  `${operation}, ${headers === undefined ? 'no headers' : `headers ${headers.toString('hex')}`}, ${payload.length} bytes`;

async function withinPatience<T>(answer: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer: ${what}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
