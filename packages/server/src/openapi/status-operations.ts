import { z } from 'zod';
import { KEYS_OF_ONE_PATH, KEYS_PATH } from '../http/keys.js';
import { METRICS_TYPE } from '../metrics/exposition.js';
import * as answers from '../wire/answer-schemas.js';
import { json, type Operation } from './operation.js';

const TEXT = 'text/plain; charset=utf-8';

/** What says how the server is, and what it can do. */
export const STATUS_OPERATIONS: Readonly<Record<string, Operation>> = {
  ...readOnly('/healthz', {
    ...server('health', 'Whether the process answers'),
    errorForm: 'text',
    answers: { 200: { description: 'It does', type: TEXT, schema: z.literal('ok\n') } },
  }),
  ...readOnly('/readyz', {
    ...server('readiness', 'Whether the server takes requests'),
    answers: {
      200: json(answers.ready, 'It does; `writable` tells whether there is room for changes', {
        ready: true,
        writable: true,
      }),
      503: json(
        answers.notReady,
        'It shuts down, or NATS is its only door and nothing is served there, or its replica of a store that is shared is too old',
        {
          ready: false,
          reason: 'the server is shutting down',
        },
      ),
    },
  }),
  'GET /metrics': {
    id: 'metrics',
    tag: 'Server',
    summary: 'How the server is, in Prometheus’s text format',
    description:
      'For who may administer everything, or has the action `metrics`. No names and no principals are in it.',
    callers: 'metrics',
    errorForm: 'text',
    answers: {
      200: {
        description: 'All metrics',
        type: METRICS_TYPE,
        schema: z.string(),
        example: 'coffer_secrets 12\n',
      },
    },
  },
  ...readOnly(KEYS_PATH, {
    ...server('publicKeys', 'By what Vault checks who logs in'),
    description: 'A JWKS: the signing keys of all backends of kind `vault`. Without one it is empty.',
    errors: ['rate_limited', 'stale'],
    errorForm: 'text',
    answers: { 200: json(answers.publicKeys, 'The newest first') },
  }),
  ...readOnly(KEYS_OF_ONE_PATH, {
    ...server('publicKeysOf', 'By what Vault checks who logs in for one backend'),
    description:
      'A JWKS: the signing keys of the backend of this name. Of one that there is not, or that signs nothing, there is none.',
    parameters: [
      { name: 'backend', in: 'path', description: 'The name of the backend', schema: z.string().min(1) },
    ],
    errors: ['rate_limited', 'not_found', 'stale'],
    errorForm: 'text',
    answers: { 200: json(answers.publicKeys, 'The newest first') },
  }),
  ...readOnly('/openapi.json', {
    ...server('openapi', 'This document'),
    errors: ['rate_limited'],
    errorForm: 'text',
    answers: { 200: json(z.looseObject({ openapi: z.string() }), 'OpenAPI 3.1') },
  }),
};

function server(id: string, summary: string) {
  return { id, tag: 'Server', summary, callers: 'everybody' } as const;
}

/** GET, and HEAD for the same without a body. */
function readOnly(path: string, operation: Operation): Record<string, Operation> {
  const answers = Object.entries(operation.answers).map(([status, { description }]) => [
    status,
    { description },
  ]);
  const head = { ...operation, id: `${operation.id}Head`, answers: Object.fromEntries(answers) };
  return { [`GET ${path}`]: operation, [`HEAD ${path}`]: head };
}
