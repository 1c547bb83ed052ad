import * as answers from '../wire/answer-schemas.js';
import * as schemas from '../wire/schemas.js';
import { json, type Operation, type RequestBody } from './operation.js';

const NAME = 'prod/db/password';
const VALUE = 'dHIwdWI0ZG9y';

const THE_NAME = { Name: '$request.body#/Name' };
const THE_VERSION = { ...THE_NAME, Version: '$request.body#/Version' };
const THE_PUT_VERSION = { ...THE_NAME, Version: '$response.body' };

const CHANGE_ERRORS = [
  'invalid_name',
  'name_too_long',
  'reserved_name',
  'invalid_argument',
  'operation_reused',
  'conflict',
] as const;

/** setec's methods. */
export const SETEC_OPERATIONS: Readonly<Record<string, Operation>> = {
  'POST /api/list': {
    ...setec('list', 'The secrets that the caller may see'),
    description: 'In byte order of their names. Each needs the right `info`; nothing to see is `null`.',
    request: body(schemas.listRequest, {}),
    answers: {
      200: json(answers.secretList, 'What the caller may see', [
        { Name: NAME, Versions: [1], ActiveVersion: 1 },
      ]),
    },
  },
  'POST /api/info': {
    ...setec('info', 'The versions of a secret, and which is active'),
    request: body(schemas.infoRequest, { Name: NAME }),
    answers: { 200: json(answers.secretInfo, 'The secret’s versions') },
    errors: ['invalid_name', 'name_too_long', 'not_found'],
  },
  'POST /api/get': {
    ...setec('get', 'The value of a secret'),
    description:
      'Without `Version`, or with 0: the active one. With a `Version` and `UpdateIfChanged`: the active version if it ' +
      'is another one, else 304. `UpdateIfChanged` means nothing beside version 0.',
    request: body(schemas.getRequest, { Name: NAME }),
    answers: {
      200: json(answers.secretValue, 'The value'),
      304: { description: 'The version that the caller has is the active one' },
    },
    errors: ['invalid_name', 'name_too_long', 'not_found'],
  },
  'POST /api/put': {
    ...setec('put', 'Save a value as a new version'),
    description:
      'The first version of a name is 1, and active; a later one is inactive, one above the highest number ever used. A ' +
      'value equal to that of the highest number makes no version: the answer is that number.',
    change: true,
    request: body(schemas.putRequest, { Name: NAME, Value: VALUE }),
    answers: { 200: json(answers.versionNumber, 'The number of the version', 1) },
    links: {
      info: THE_NAME,
      get: THE_PUT_VERSION,
      activate: THE_PUT_VERSION,
      deleteVersion: THE_PUT_VERSION,
    },
    errors: [...CHANGE_ERRORS, 'value_too_large', 'versions_exhausted'],
  },
  'POST /api/create-version': {
    ...setec('createVersion', 'Save a value as the version of a stated number, and activate it'),
    change: true,
    request: body(schemas.createVersionRequest, { Name: NAME, Version: 7, Value: VALUE }),
    answers: done('The version is there, and active'),
    links: { info: THE_NAME, get: THE_VERSION, put: { ...THE_NAME, Value: '$request.body#/Value' } },
    errors: [...CHANGE_ERRORS, 'invalid_version', 'value_too_large', 'version_taken'],
  },
  'POST /api/activate': {
    ...setec('activate', 'Make another version the active one'),
    change: true,
    request: body(schemas.activateRequest, { Name: NAME, Version: 2 }),
    answers: done('The version is active'),
    links: { get: THE_NAME, deleteVersion: THE_VERSION, delete: THE_NAME },
    errors: [...CHANGE_ERRORS, 'invalid_version', 'not_found'],
  },
  'POST /api/delete-version': {
    ...setec('deleteVersion', 'Delete a version that is not active'),
    change: true,
    request: body(schemas.deleteVersionRequest, { Name: NAME, Version: 1 }),
    answers: done('The version is gone; its number is not used again'),
    errors: [...CHANGE_ERRORS, 'invalid_version', 'active_version', 'not_found'],
  },
  'POST /api/delete': {
    ...setec('delete', 'Delete a secret with all its versions'),
    description: 'The memory of its version numbers goes too. Of an unknown name: 200.',
    change: true,
    request: body(schemas.deleteRequest, { Name: NAME }),
    answers: done('There is no such secret any more'),
    links: { get: THE_NAME },
    errors: CHANGE_ERRORS,
  },
};

function setec(id: string, summary: string) {
  return { id, tag: 'Secrets', summary, callers: 'known', errorForm: 'text' } as const;
}

function body(schema: RequestBody['schema'], example: unknown): RequestBody {
  return { schema, form: 'go', example };
}

function done(description: string) {
  return { 200: json(answers.empty, description, {}) };
}
