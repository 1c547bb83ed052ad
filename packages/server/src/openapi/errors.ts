import type { ErrorCode } from '@coffer/engine';
import { type DoorCode, statusOf } from '../refusal.js';
import { problem } from '../wire/answer-schemas.js';
import type { JsonSchema } from './json-schema.js';
import type { Operation } from './operation.js';

type Code = ErrorCode | DoorCode | 'internal';

/** Schemas that errors refer to. */
export const ERROR_SCHEMAS = [problem];

/** What node:http itself turns away, before any route: always in plain text. */
const BY_THE_DOOR: ReadonlyMap<number, readonly Code[]> = new Map<number, readonly Code[]>([
  [400, ['bad_request']],
  [408, ['bad_request']],
  [417, ['bad_request']],
  [431, ['too_large']],
]);

/** What any route can answer to whom it has to know. */
const TO_KNOWN_CALLERS: readonly Code[] = [
  'bad_request',
  'access_denied',
  'unauthenticated',
  'proof_request',
  'rate_limited',
  'busy',
  'stopped',
  'storage_full',
  'unavailable',
  'in_doubt',
  'stale',
  'store_alarm',
  'tampered',
  'io',
  'internal',
];

const MEANING: Readonly<Record<number, string>> = {
  400: 'The request is not right',
  401: 'The server does not know who the caller is',
  403: 'No grant allows it, or the header that browsers cannot send is missing',
  404: 'There is no such thing',
  408: 'The request took too long to arrive',
  409: 'Something else happened meanwhile, or the operation id was used before',
  412: 'The number was used before',
  413: 'The body or the value is too large',
  417: 'The server can meet no expectation but 100-continue',
  429: 'Too many requests',
  431: 'The headers are too large',
  500: 'The server’s own failure; its log says more',
  503: 'Not now: try again soon',
};

/** The answers by which one operation refuses, by status. */
export function describeErrors(method: string, operation: Operation, development: boolean): JsonSchema {
  const { callers, request, errors = [], errorForm = 'json' } = operation;
  const codes = new Map<number, Set<Code>>();
  const texts = new Set<number>(BY_THE_DOOR.keys());
  const add = (status: number, code: Code) => codes.set(status, (codes.get(status) ?? new Set()).add(code));
  for (const [status, known] of BY_THE_DOOR) for (const code of known) add(status, code);
  const own: Code[] = [
    ...(callers === 'everybody' ? [] : TO_KNOWN_CALLERS),
    ...(request === undefined ? [] : (['bad_request', 'too_large'] as const)),
    ...errors,
  ];
  for (const code of own) add(statusOf(code), code);
  // A development server refuses whoever comes by a name that is not this machine's, on every route.
  if (development) {
    add(403, 'access_denied');
    texts.add(403);
  }
  const ownStatuses = new Set(own.map(statusOf));
  const described = [...codes].map(([status, known]) => {
    const forms = new Set([
      ...(texts.has(status) ? ['text'] : []),
      ...(ownStatuses.has(status) ? [errorForm] : []),
    ]);
    return [status, describeError(status, known, method === 'HEAD' ? new Set() : forms)];
  });
  return Object.fromEntries(described);
}

function describeError(status: number, codes: ReadonlySet<Code>, forms: ReadonlySet<string>): JsonSchema {
  const content = {
    ...(forms.has('json')
      ? { 'application/json': { schema: { $ref: '#/components/schemas/Problem' } } }
      : {}),
    ...(forms.has('text') ? { 'text/plain; charset=utf-8': { schema: { type: 'string' } } } : {}),
  };
  return {
    description: MEANING[status] ?? 'Refused',
    headers: {
      'Coffer-Error': { required: true, schema: { type: 'string', enum: [...codes].sort() } },
      ...(status === 401 ? { 'WWW-Authenticate': { $ref: '#/components/headers/Challenge' } } : {}),
      ...(status === 503 || status === 429
        ? { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } }
        : {}),
    },
    ...(forms.size > 0 ? { content } : {}),
  };
}
