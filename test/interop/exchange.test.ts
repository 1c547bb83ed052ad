import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  type Export,
  encodeJwt,
  exportOf,
  IdentityError,
  type Import,
  importOf,
  newAccount,
  newActivation,
  withExport,
  withImport,
} from '../../packages/identity/src/index.js';
import { decodeInGo } from './nats-jwt.js';

/** What we let an account export and import is what Go's nats-io/jwt finds nothing wrong with, and no less. */

const CASES = 500;
const operator = createKeyPair('operator');
const importer = createKeyPair('account');
const exporters = [createKeyPair('account'), createKeyPair('account')] as const;

const word = fc.constantFrom(...'abcabcabcabc*>', '', 'a b');
const subject = fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.join('.'));
const maybe = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });

const exported = fc.record({
  subject,
  service: fc.boolean(),
  private: fc.boolean(),
  responseType: maybe(fc.constantFrom('Singleton', 'Stream', 'Chunked', 'Other')),
  responseThreshold: maybe(fc.constantFrom(0, 5)),
  latency: maybe(fc.record({ results: subject, sampling: fc.constantFrom(0, 1, 100) })),
  accountTokenPosition: maybe(fc.integer({ min: 0, max: 4 })),
  infoUrl: maybe(fc.constantFrom('https://example.com/x', 'nowhere', 'file:///x')),
});

const imported = fc.record({
  subject,
  service: fc.boolean(),
  local: maybe(
    fc
      .array(fc.constantFrom('a', 'b', '*', '>', '$1', '$2'), { minLength: 1, maxLength: 3 })
      .map((words) => words.join('.')),
  ),
  exporter: fc.constantFrom(0 as const, 1 as const),
  share: maybe(fc.constant(true)),
  allowTrace: maybe(fc.constant(true)),
  activation: maybe(
    fc.record({ on: subject, service: fc.boolean(), here: fc.constantFrom(true, true, false) }),
  ),
});

/** What it would be if nobody looked. */
function anyExport(request: typeof exported extends fc.Arbitrary<infer T> ? T : never): Export {
  const { latency, service } = request;
  return {
    name: request.subject,
    subject: request.subject,
    type: service ? 'service' : 'stream',
    ...(request.responseType
      ? { response_type: request.responseType }
      : service
        ? { response_type: 'Singleton' }
        : {}),
    ...(request.responseThreshold ? { response_threshold: request.responseThreshold } : {}),
    ...(latency ? { service_latency: { ...latency, sampling: latency.sampling || 'headers' } } : {}),
    ...(request.accountTokenPosition ? { account_token_position: request.accountTokenPosition } : {}),
    ...(request.infoUrl ? { info_url: request.infoUrl } : {}),
  };
}

function tokenOf(claims: ReturnType<typeof newAccount>): string {
  return encodeJwt(claims, operator);
}

const accepts = (act: () => unknown): boolean => {
  try {
    act();
    return true;
  } catch (error) {
    if (error instanceof IdentityError && error.code === 'invalid_claims') return false;
    throw error;
  }
};

const plain = () =>
  newAccount(importer.publicKey, 'A') as Parameters<typeof withExport>[0] & ReturnType<typeof newAccount>;

describe('what an account may', () => {
  it('export is what Go lets it export', async () => {
    const cases = fc.sample(fc.array(exported, { minLength: 1, maxLength: 3 }), { numRuns: CASES, seed: 7 });
    const ours = cases.map((requests) =>
      accepts(() => requests.reduce((claims, request) => withExport(claims, exportOf(request)), plain())),
    );
    const found = await decodeInGo(
      cases.map((requests) => {
        const { nats, ...claims } = plain();
        return tokenOf({ ...claims, nats: { ...nats, exports: requests.map(anyExport) } } as never);
      }),
    );
    const differ = cases.filter((_, at) => ours[at] !== (found[at]?.issues.length === 0));
    expect(differ.slice(0, 3)).toEqual([]);
    expect(ours.filter(Boolean).length).toBeGreaterThan(CASES / 10);
  });

  it('import is what Go lets it import', async () => {
    const cases = fc.sample(fc.array(imported, { minLength: 1, maxLength: 2 }), { numRuns: CASES, seed: 8 });
    const made = cases.map((requests) =>
      requests.map(({ activation, exporter, ...request }) => {
        const { publicKey } = exporters[exporter];
        if (!activation) return { ...request, account: publicKey, token: undefined };
        const target = activation.here ? importer.publicKey : publicKey;
        const kind = activation.service ? 'service' : 'stream';
        const token = encodeJwt(
          newActivation(target, { name: 'n', on: activation.on, kind }),
          exporters[exporter],
        );
        // An import by a token is of what the token says.
        return { ...request, account: publicKey, token, subject: activation.on, service: activation.service };
      }),
    );
    const ours = made.map((requests) =>
      accepts(() =>
        requests.reduce((claims, { local, share, allowTrace, token, account, subject, service }) => {
          const from = token === undefined ? { account, subject, service } : { token };
          const one = importOf({ from, localSubject: local, share, allowTrace }, importer.publicKey);
          return withImport(claims, one);
        }, plain()),
      ),
    );
    const found = await decodeInGo(
      made.map((requests) => {
        const { nats, ...claims } = plain();
        const imports = requests.map(
          ({ local, share, allowTrace, token, account, subject, service }): Import => {
            const local_subject = local ?? (service ? subject : undefined);
            return {
              name: subject,
              subject,
              account,
              type: service ? 'service' : 'stream',
              ...(token === undefined ? {} : { token }),
              ...(local_subject === undefined ? {} : { local_subject }),
              ...(share ? { share } : {}),
              ...(allowTrace ? { allow_trace: allowTrace } : {}),
            };
          },
        );
        return tokenOf({ ...claims, nats: { ...nats, imports } } as never);
      }),
    );
    const differ = made
      .map((requests, at) => ({ requests, ours: ours[at], go: found[at]?.issues }))
      .filter(({ ours, go }) => ours !== (go?.length === 0));
    expect(differ.slice(0, 3)).toEqual([]);
    expect(ours.filter(Boolean).length).toBeGreaterThan(CASES / 10);
  });
});
