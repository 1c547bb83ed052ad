import { createKeyPair } from '@coffer/identity';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Operation, operationSubject, SecretsError, serveBackend } from '../src/index.js';
import { encodePut, encodeSecret } from '../src/protocol/encode-secret.js';
import { errorFromText, errorSchema, putErrorSchema } from '../src/protocol/errors.js';
import { readJson } from '../src/protocol/json.js';
import {
  getSecretSchema,
  mappingNamesSchema,
  putRequestSchema,
  secretRequestSchema,
  secretResponseSchema,
} from '../src/protocol/messages.js';
import { openBox, sealAnswer } from '../src/protocol/sealing.js';
import { parseSubject, subjectBase } from '../src/protocol/subjects.js';

const read = (schema: Parameters<typeof readJson>[0], text: string): unknown =>
  readJson(schema, Buffer.from(text));

describe('subjects', () => {
  const base = subjectBase({ name: 'nats-kv' });

  it('are those of wasmCloud', () => {
    expect(operationSubject({ name: 'nats-kv' }, 'get')).toBe('wasmcloud.secrets.v1alpha1.nats-kv.get');
    expect(operationSubject({ name: 'kube', prefix: 'a.b.c' }, 'add_mapping', 'MX')).toBe(
      'a.b.c.v1alpha1.kube.add_mapping.MX',
    );
  });

  it.each<[string, { operation: Operation; entity?: string }]>([
    ['get', { operation: 'get' }],
    ['server_xkey', { operation: 'server_xkey' }],
    ['put_secret', { operation: 'put_secret' }],
    ['get_secret', { operation: 'get_secret' }],
    ['add_mapping', { operation: 'add_mapping' }],
    ['add_mapping.MA', { operation: 'add_mapping', entity: 'MA' }],
    ['remove_mapping.VA', { operation: 'remove_mapping', entity: 'VA' }],
    ['list_mappings', { operation: 'list_mappings' }],
    ['list_mappings.MA', { operation: 'list_mappings', entity: 'MA' }],
    ['get.more', { operation: 'unknown' }],
    ['add_mapping.MA.more', { operation: 'unknown' }],
    ['GET', { operation: 'unknown' }],
    ['unknown', { operation: 'unknown' }],
    ['toString', { operation: 'unknown' }],
    ['', { operation: 'unknown' }],
  ])('ask for what stands behind the name: %s', (rest, asked) => {
    expect(parseSubject(base, `${base}.${rest}`)).toEqual(asked);
  });

  it('of others are none of ours', () => {
    expect(parseSubject(base, 'wasmcloud.secrets.v1alpha1.nats-kvx.get')).toEqual({ operation: 'unknown' });
    expect(parseSubject(base, base)).toEqual({ operation: 'unknown' });
  });

  it.each(['', 'a.b', 'a b', 'a*', '>', 'a\n', 'a\u0000', 'x'.repeat(129)])(
    'have no name such as %j',
    (name) => {
      expect(() => subjectBase({ name })).toThrow(TypeError);
    },
  );

  it.each(['', '.', 'a.', '.a', 'a..b', 'a.*', 'a b'])('have no prefix such as %j', (prefix) => {
    expect(() => subjectBase({ name: 'a', prefix })).toThrow(TypeError);
  });

  it('and queue groups are looked at before anything is subscribed to, and so is trust', () => {
    const never = {
      name: 'a',
      transitKeys: { keys: () => [], used: () => {} },
      trust: { selfIssued: true },
      fetch: () => Promise.reject(new Error('never')),
      nats: new Proxy({} as Parameters<typeof serveBackend>[0]['nats'], {
        get: () => {
          throw new Error('touched');
        },
      }),
    };
    expect(() => serveBackend({ ...never, name: 'a.b' })).toThrow(/one token/);
    expect(() => serveBackend({ ...never, queueGroup: 'a b' })).toThrow(/queue group/);
    expect(() => serveBackend({ ...never, trust: {} })).toThrow(/nobody is trusted/);
  });
});

describe('messages', () => {
  const context = { entity_jwt: 'e', host_jwt: 'h', application: { name: null, policy: '' } };
  const request = { key: 'k', field: null, version: null, context };

  it('are read as serde reads them: unknown fields ignored, options absent or null', () => {
    expect(read(secretRequestSchema, JSON.stringify({ ...request, more: [1], toString: 1 }))).toEqual(
      request,
    );
    const bare = { key: 'k', context: { ...context, application: {} } };
    expect(read(secretRequestSchema, JSON.stringify(bare))).toEqual({
      key: 'k',
      context: { ...context, application: { policy: '' } },
    });
    expect(read(mappingNamesSchema, '["b","a","b"]')).toEqual(['b', 'a']);
  });

  it.each([
    ['an absent key', { ...request, key: undefined }],
    ['a key that is null', { ...request, key: null }],
    ['a version that is a number', { ...request, version: 1 }],
    ['no context', { ...request, context: undefined }],
    ['no tokens', { ...request, context: { application: {} } }],
    ['no application', { ...request, context: { entity_jwt: '', host_jwt: '' } }],
    ['a policy that is null', { ...request, context: { ...context, application: { policy: null } } }],
    ['a policy that is an object', { ...request, context: { ...context, application: { policy: {} } } }],
    ['a list', [request]],
    ['null', null],
  ])('are refused where Rust’s types refuse them: %s', (_, message) => {
    expect(read(secretRequestSchema, JSON.stringify(message))).toBeUndefined();
  });

  it.each(['', '{', '{}x', '\ufeff{}', '["a",]', '["\\ud800"]', '{"key"'])(
    'are JSON of UTF-8: not %j',
    (text) => {
      expect(read(secretRequestSchema, text)).toBeUndefined();
      expect(read(mappingNamesSchema, text)).toBeUndefined();
    },
  );

  it('are UTF-8, and nothing is put in the place of what is none', () => {
    expect(readJson(mappingNamesSchema, Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]))).toBeUndefined();
  });

  it.each([
    '{"key":"a","key":"b"}',
    '{"k\\u0065y":"a" ,\n"key"\t:"b"}',
    '{"key":"a","version":"\\\\","version":"\\"b"}',
    '{"key":"a","__proto__":1,"__proto__":2}',
    '{"key":"a","more":[{"b":{"c":1,"c":1}}]}',
  ])('have no member twice: %s', (json) => {
    expect(read(getSecretSchema, json)).toBeUndefined();
  });

  it('have any member once, whatever its name and its value look like', () => {
    const value = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('":', '\\', '\\":"', '{"key":1}'),
      fc.jsonValue(),
    );
    const name = fc.oneof(fc.string(), fc.constantFrom('":"', '\\', '\\"', '__proto__', '{', ','));
    fc.assert(
      fc.property(fc.dictionary(name, value), fc.constantFrom(0, 1, '\t'), (more, space) => {
        const json = JSON.stringify({ ...more, key: 'k', version: null, field: null }, null, space);
        expect(read(getSecretSchema, json)).toMatchObject({ key: 'k' });
      }),
    );
    expect(read(getSecretSchema, `{"key":"k","x":${'['.repeat(50_000)}${']'.repeat(50_000)}}`)).toBeDefined();
  });

  it.each(['[256]', '[-1]', '[1.5]', '["1"]', '{}', '"x"', '[null]'])(
    'have bytes from 0 to 255: not %s',
    (bytes) => {
      expect(read(putRequestSchema, `{"key":"k","version":"","binary_secret":${bytes}}`)).toBeUndefined();
    },
  );

  it('hold a value exactly as JSON does, without ever being a string', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (text, version) => {
        const value = Buffer.from(text);
        const kind = 'string' as const;
        const string_secret = value.toString();
        expect(encodeSecret({ version, kind, value }).toString()).toBe(
          JSON.stringify({ secret: { version, string_secret, binary_secret: null } }),
        );
        expect(read(putRequestSchema, encodePut('k', { kind, value }).toString())).toEqual({
          key: 'k',
          version: '',
          string_secret,
          binary_secret: null,
        });
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.uint8Array(), (value) => {
        const written = encodeSecret({ version: '1', kind: 'binary', value }).toString();
        expect(written).toBe(
          JSON.stringify({ secret: { version: '1', string_secret: null, binary_secret: [...value] } }),
        );
      }),
      { numRuns: 500 },
    );
    const everyControl = Buffer.from(Array.from({ length: 128 }, (_, i) => i));
    expect(
      read(
        secretResponseSchema,
        encodeSecret({ version: '1', kind: 'string', value: everyControl }).toString(),
      ),
    ).toEqual({ secret: { version: '1', string_secret: everyControl.toString(), binary_secret: null } });
  });

  it('have no string that is no UTF-8', () => {
    const secret = { version: '1', kind: 'string', value: Uint8Array.of(0xff) } as const;
    expect(() => encodeSecret(secret)).toThrow(TypeError);
  });
});

describe('errors', () => {
  it.each([
    ['"SecretNotFound"', 'SecretNotFound', ''],
    ['"InvalidXKey"', 'InvalidXKey', ''],
    ['"EncryptionError"', 'EncryptionError', ''],
    ['"DecryptionError"', 'DecryptionError', ''],
    ['"Unauthorized"', 'Unauthorized', ''],
    ['"InvalidRequest"', 'InvalidRequest', ''],
    ['"InvalidPayload"', 'InvalidPayload', ''],
    ['"InvalidHeaders"', 'InvalidHeaders', ''],
    ['{"InvalidEntityJWT":"a"}', 'InvalidEntityJWT', 'a'],
    ['{"InvalidHostJWT":"b: c"}', 'InvalidHostJWT', 'b: c'],
    ['{"UpstreamError":"c"}', 'UpstreamError', 'c'],
    ['{"PolicyError":"d"}', 'PolicyError', 'd'],
    ['{"Other":""}', 'Other', ''],
  ] as const)('are written and read as serde does: %s', (wire, code, text) => {
    expect(JSON.stringify(new SecretsError(code, text))).toBe(wire);
    expect(read(errorSchema, wire)).toEqual({ code, text });
    if (text !== '' || wire.startsWith('"')) {
      const said = errorFromText(new SecretsError(code, text).message);
      expect([said.code, said.text]).toEqual([code, text]);
    }
  });

  it.each([
    '"Other"',
    '{"SecretNotFound":"x"}',
    '{"Other":"a","PolicyError":"b"}',
    '{}',
    '"x"',
    'null',
    '{"Other":1}',
  ])('are nothing else: %s', (wire) => {
    expect(read(errorSchema, wire)).toBeUndefined();
  });

  it('of put_secret that secrets-nats-kv has alone are read, too', () => {
    expect(read(putErrorSchema, '"NoSecretProvided"')).toMatchObject({ code: 'InvalidPayload' });
  });

  it('that stand there as bare text are of no known code', () => {
    expect(errorFromText('expected value at line 1 column 1')).toMatchObject({
      code: 'Other',
      text: 'expected value at line 1 column 1',
    });
  });
});

describe('sealed answers', () => {
  it('come from a key that is made for each of them, and leave no plaintext behind', () => {
    const host = createKeyPair('curve');
    const plaintext = Buffer.from('{"secret":1}');
    const one = sealAnswer(plaintext, host.publicKey);
    expect([...plaintext].every((byte) => byte === 0)).toBe(true);
    const two = sealAnswer(Buffer.from('{"secret":1}'), host.publicKey);
    expect(one.responseXkey).not.toBe(two.responseXkey);
    expect(Buffer.from(openBox(one.box, host, one.responseXkey) ?? []).toString()).toBe('{"secret":1}');
    expect(openBox(one.box, host, two.responseXkey)).toBeUndefined();
  });
});
