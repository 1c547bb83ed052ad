import { createKeyPair, encodePublicKey, type KeyPair, seal } from '@coffer/identity';
import fc from 'fast-check';

/** What a message is made of, before it has a reply subject. */
export interface Message {
  readonly operation: string;
  /** The bytes of its headers as they go over the wire; undefined: it has none. */
  readonly headers?: Buffer | undefined;
  readonly payload: Uint8Array;
}

/** Good parts, from which bad messages are made. */
export interface Parts {
  readonly transitKey: string;
  readonly entityJwt: string;
  readonly hostJwt: string;
}

const OPERATIONS = ['get', 'put_secret', 'get_secret', 'server_xkey'];
const ABOUT_ENTITY = ['add_mapping', 'remove_mapping', 'list_mappings'];

const own: readonly KeyPair[] = [1, 2, 3].map(() => createKeyPair('curve'));
const component = createKeyPair('component').publicKey;
/** Points of small order and such as are none: a shared secret with them would be known to everybody. */
const weakXkeys = [0, 1, 0xff].map((byte) =>
  encodePublicKey(
    'curve',
    Uint8Array.from({ length: 32 }, (_, i) => (byte === 1 ? Number(i === 0) : byte)),
  ),
);

const token = fc.string({ unit: fc.constantFrom(...'abgetXM09_-$ü€*'), minLength: 1, maxLength: 20 });
const operation = fc.oneof(
  { weight: 5, arbitrary: fc.constant('get') },
  { weight: 4, arbitrary: fc.constantFrom(...OPERATIONS) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...ABOUT_ENTITY), fc.oneof(fc.constant(component), token))
      .map((all) => all.join('.')),
  },
  { weight: 1, arbitrary: fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join('.')) },
  { weight: 1, arbitrary: fc.constantFrom(...ABOUT_ENTITY) },
);

const bytes = fc.oneof(
  { weight: 20, arbitrary: fc.uint8Array({ maxLength: 400 }) },
  { weight: 1, arbitrary: fc.nat(400_000).map((length) => new Uint8Array(length).fill(0x5b)) },
);

const oddText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom(
    '',
    '\ud800',
    '__proto__',
    'constructor',
    '-1',
    '1e309',
    '9'.repeat(400),
    'x'.repeat(100_000),
  ),
);
const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  oddText,
  fc.constantFrom(null, undefined, [], {}, 0, -1, 256, 2 ** 60, true, [256], [1, null], { __proto__: null }),
);

/** The same with something else at one place. */
function changedAt(value: unknown, path: readonly number[], by: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined || typeof value !== 'object' || value === null) return by;
  const entries = Object.entries(value);
  const place = entries[step % Math.max(1, entries.length)]?.[0] ?? 'more';
  return { ...value, [place]: changedAt((value as Record<string, unknown>)[place], rest, by) };
}

const changed = (value: object) =>
  fc
    .tuple(fc.array(fc.nat(9), { minLength: 1, maxLength: 3 }), odd)
    .map(([path, by]) => JSON.stringify(changedAt(value, path, by)) ?? '');

/** A text with a piece cut out, put in, or changed. */
const damaged = (text: string) =>
  fc
    .tuple(fc.nat(text.length), fc.nat(20), oddText)
    .map(([at, length, piece]) => text.slice(0, at) + piece + text.slice(at + length));

function plaintexts({ entityJwt, hostJwt }: Parts) {
  const context = { entity_jwt: entityJwt, host_jwt: hostJwt, application: { name: 'a', policy: '{}' } };
  const get = { key: 'k', field: null, version: null, context };
  const put = { key: 'k', version: '', string_secret: 'v', binary_secret: null };
  const whole = [get, put, { ...put, string_secret: null, binary_secret: [1, 2] }, ['a', 'b']];
  const otherTokens = fc
    .tuple(damaged(entityJwt), damaged(hostJwt), fc.boolean())
    .map(([one, two, entity]) => ({
      ...get,
      context: { ...context, ...(entity ? { entity_jwt: one } : { host_jwt: two }) },
    }));
  const deep = fc
    .tuple(fc.nat(30_000), fc.constantFrom('[', '{"a":', '"'))
    .map(([n, piece]) => piece.repeat(n));
  const text = fc.oneof(
    fc.constantFrom(...whole).map((message) => JSON.stringify(message)),
    fc.constantFrom(...whole).chain(changed),
    fc.constantFrom(...whole).chain((message) => damaged(JSON.stringify(message))),
    otherTokens.map((message) => JSON.stringify(message)),
    deep,
    oddText,
  );
  return fc.oneof(
    { weight: 9, arbitrary: text.map((one) => Buffer.from(one)) },
    { weight: 1, arbitrary: bytes },
  );
}

const block = (lines: readonly string[]): Buffer =>
  Buffer.from(`NATS/1.0\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`);
const hostXkey = (key: string): Buffer => block([`WasmCloud-Host-Xkey: ${key}`]);

const oddHeaders = fc.oneof(
  fc.constant(undefined),
  fc.constantFrom('', 'X', own[0]?.publicKey.toLowerCase() ?? '', component, ...weakXkeys).map(hostXkey),
  fc.string({ unit: 'binary', maxLength: 80 }).map(hostXkey),
  fc
    .array(fc.string({ unit: fc.constantFrom(...'aWX-:: \t\r\u0000ü'), maxLength: 30 }), { maxLength: 5 })
    .map((lines) => block(lines)),
  fc.uint8Array({ minLength: 1, maxLength: 80 }).map((noise) => Buffer.from(noise)),
);

const names = fc.array(oddText, { maxLength: 4 }).map((list) => JSON.stringify(list));
const mappings = fc
  .tuple(fc.constantFrom(...ABOUT_ENTITY), fc.oneof(names, names.chain(damaged)), oddHeaders)
  .map(([name, text, headers]) => ({
    operation: `${name}.${component}`,
    headers,
    payload: Buffer.from(text),
  }));

/** Messages that are good up to some point, and garbage from there on, or from the beginning. */
export function messages(parts: Parts): fc.Arbitrary<Message> {
  const sealed = fc.tuple(plaintexts(parts), fc.constantFrom(...own)).map(([plaintext, key]) => ({
    headers: hostXkey(key.publicKey),
    payload: seal(plaintext, key, parts.transitKey),
  }));
  const damagedBox = fc.tuple(sealed, fc.nat(), fc.nat(255)).map(([message, at, byte]) => {
    const payload = Uint8Array.from(message.payload);
    payload[at % payload.length] = byte;
    return { ...message, payload: byte % 7 === 0 ? payload.subarray(0, at % payload.length) : payload };
  });
  const strange = fc.record({ headers: oddHeaders, payload: bytes });
  const strangeHeaders = fc.tuple(sealed, oddHeaders).map(([message, headers]) => ({ ...message, headers }));
  const plain = fc.tuple(plaintexts(parts), oddHeaders).map(([payload, headers]) => ({ headers, payload }));
  const body = fc.oneof(
    { weight: 6, arbitrary: sealed as fc.Arbitrary<Omit<Message, 'operation'>> },
    { weight: 1, arbitrary: damagedBox },
    { weight: 1, arbitrary: strange },
    { weight: 1, arbitrary: strangeHeaders },
    { weight: 2, arbitrary: plain },
  );
  const any = fc.tuple(operation, body).map(([to, message]) => ({ operation: to, ...message }));
  return fc.oneof({ weight: 9, arbitrary: any }, { weight: 1, arbitrary: mappings });
}
