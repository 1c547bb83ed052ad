import * as answers from '../wire/answer-schemas.js';
import * as schemas from '../wire/schemas.js';
import { json, type Operation } from './operation.js';

/** What coffer adds to setec's methods for those who use secrets. */
export const OWN_OPERATIONS: Readonly<Record<string, Operation>> = {
  'POST /api/get-many': {
    id: 'getMany',
    tag: 'Secrets',
    summary: 'Many secrets in one round trip',
    description:
      'Answers in the order of the requests, each authorised and audited by itself as a `get`. `known` is the version that ' +
      'the caller has. The values together are at most 8 MiB, but one comes however large it is; those that did not fit ' +
      'are `too_large`: ask for them again.',
    callers: 'known',
    request: {
      schema: schemas.getManyRequest,
      form: 'json',
      example: { secrets: [{ name: 'prod/db/password' }, { name: 'prod/tls', known: 7 }] },
    },
    answers: {
      200: json(answers.manyAnswer, 'One answer for each request', {
        secrets: [
          { name: 'prod/db/password', version: 1, value: 'dHIwdWI0ZG9y' },
          { name: 'prod/tls', version: 7, unchanged: true },
        ],
      }),
    },
    errors: ['invalid_name', 'name_too_long', 'invalid_argument'],
  },
  'GET /api/watch': {
    id: 'watch',
    tag: 'Secrets',
    summary: 'Changes as they happen, never values',
    description:
      'Server-sent events without an end: `ready` first; `change` with `{name, activeVersion, versions}`; `delete` with ' +
      '`{name}`; `reset`: something was missed, or the caller’s grants are others, so read anew; `end` with ' +
      '`{code, message}` (`unauthenticated`, `access_denied`, `stopped` or `slow`), last. Only of secrets that the ' +
      'caller may `get` at that moment.',
    callers: 'known',
    parameters: [
      {
        name: 'secrets',
        in: 'query',
        description: 'Patterns of names; without one, all secrets.',
        schema: schemas.watchPattern,
        repeatable: true,
      },
      {
        name: 'since',
        in: 'query',
        description: 'The id of the last event that was taken, to go on behind it.',
        schema: schemas.eventId,
      },
      {
        name: 'Last-Event-ID',
        in: 'header',
        description: 'The same, as browsers and libraries for such events send it; it wins.',
        schema: schemas.eventId,
      },
    ],
    answers: { 200: { description: 'Events', type: 'text/event-stream', schema: answers.events } },
    errors: ['bad_request', 'invalid_argument'],
  },
  'GET /api/whoami': {
    id: 'whoami',
    tag: 'Secrets',
    summary: 'Who the server takes the caller for, and what it may do',
    callers: 'known',
    answers: { 200: json(answers.whoami, 'The caller, its grants and the server') },
  },
};
