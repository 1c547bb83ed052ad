import * as answers from '../wire/answer-schemas.js';
import * as schemas from '../wire/schemas.js';
import { json, type Operation, type Parameter, type RequestBody } from './operation.js';

const CHANGE_ERRORS = ['invalid_argument', 'operation_reused', 'conflict'] as const;
const JTI = 'IGTAGBPIJUCKUYXQNWUPGVDVKT5FQPNKMCHLC3HVVKXWVT2OBCRQ';
const XKEY = 'XAD2G7F4CQQJHSFXKXOBWEHINS2CMN2K2FVKQU7NBPP4BMVYNUOHZWPX';
const GRANT = { to: ['token:0123456789abcdef'], actions: ['get'], secrets: ['prod/*'] };

/** Administration: `/api/admin/…`. */
export const ADMIN_OPERATIONS: Readonly<Record<string, Operation>> = {
  'GET /api/admin/tokens': {
    ...admin('listTokens', 'All tokens, revoked and expired ones too'),
    description: 'Needs `admin` on `*`.',
    answers: { 200: json(answers.tokenList, 'The tokens, without what they are') },
  },
  'POST /api/admin/tokens': {
    ...admin('createToken', 'Make a token'),
    description:
      'Needs `admin` on `*`. The token is in this answer and nowhere else: the same operation id again is 409.',
    change: true,
    request: body(schemas.createTokenRequest, { name: 'ci', expiresIn: 2_592_000 }),
    answers: { 200: json(answers.newToken, 'The token, this once') },
    links: { revokeToken: { id: '$response.body#/id' } },
    errors: [...CHANGE_ERRORS, 'invalid_token_request'],
  },
  'POST /api/admin/tokens/revoke': {
    ...admin('revokeToken', 'Revoke a token, at once and for good'),
    description: 'Needs `admin` on `*`. Revoking a revoked token changes nothing.',
    change: true,
    request: body(schemas.revokeTokenRequest, { id: '0123456789abcdef' }),
    answers: { 200: json(answers.tokenInfo, 'The token’s description') },
    errors: [...CHANGE_ERRORS, 'not_found'],
  },
  'GET /api/admin/revocations': {
    ...admin('listRevocations', 'NATS identities that are believed no more'),
    description: 'Needs `admin` on `*`. Those in force, the oldest first.',
    answers: { 200: json(answers.revocationList, 'What is revoked, with who, when and why') },
  },
  'POST /api/admin/revocations': {
    ...admin('revoke', 'Believe one token, or a key, no more'),
    description:
      'Needs `admin` on `*`. A `jti` is one token of an operator, account or user; a `key` is whoever has it, with all that it ' +
      'signed. At once and until it is lifted; what is revoked already stays as it is.',
    change: true,
    request: body(schemas.revokeRequest, { jti: JTI, reason: 'found in a public repository' }),
    answers: { 200: json(answers.revocation, 'The revocation') },
    links: { liftRevocation: { id: '$response.body#/id' } },
    errors: [...CHANGE_ERRORS, 'not_found'],
  },
  'POST /api/admin/revocations/lift': {
    ...admin('liftRevocation', 'Believe again what was revoked'),
    description: 'Needs `admin` on `*`.',
    change: true,
    request: body(schemas.liftRevocationRequest, { id: '0123456789abcdef' }),
    answers: { 200: json(answers.empty, 'Done') },
    errors: [...CHANGE_ERRORS, 'not_found'],
  },
  'GET /api/admin/policy': {
    ...admin('showPolicy', 'The grants that the caller administers'),
    description: 'Needs `admin` on something.',
    answers: { 200: json(answers.policy, 'The grants, and the policy’s generation') },
  },
  'POST /api/admin/policy': {
    ...admin('applyPolicy', 'Put grants in the place of all those that the caller administers'),
    description: 'Needs `admin` on every pattern of every grant.',
    change: true,
    request: body(schemas.applyPolicyRequest, { grants: [GRANT], dryRun: true }),
    answers: { 200: json(answers.policyDifference, 'What changes, or would in a dry run') },
    errors: [...CHANGE_ERRORS, 'invalid_policy', 'policy_changed'],
  },
  'GET /api/admin/audit': {
    ...admin('readAudit', 'Lines of the audit log'),
    description:
      'Needs `admin` on `*`. The exact lines that were there when this was asked, each with its line feed; an empty line is a ' +
      'sign of life. If the connection breaks, lines are missing.',
    parameters: [
      inQuery('from', 'The number (`seq`) of the first line.', schemas.lineNumber),
      inQuery('last', 'So many lines from the end, in place of `from`.', schemas.lineNumber),
      inQuery('follow', '1: without an end, new lines as they become durable.', schemas.auditFollow),
      inQuery(
        'instance',
        'Where instances share the store: `all` of them, in the order of their times, or the copies of one, as ' +
          '`/api/admin/audit/instances` names it; not with `last`, `follow`, nor `all` with `from`. Without it, the log of the ' +
          'server that is asked.',
        schemas.auditInstance,
      ),
      inQuery('principal', 'Entries of this principal: its id, or its name.', schemas.auditText),
      inQuery('secret', 'Entries about secrets that match this pattern.', schemas.auditText),
      inQuery('action', 'Entries of this action.', schemas.auditAction),
      inQuery(
        'application',
        'Entries of requests for applications that match this pattern.',
        schemas.auditText,
      ),
      inQuery('host', 'Entries of requests from hosts that match this pattern.', schemas.auditText),
      inQuery('since', 'Entries from this time on.', schemas.auditTime),
      inQuery('until', 'Entries up to this time.', schemas.auditTime),
    ],
    answers: { 200: { description: 'The lines', type: 'application/x-ndjson', schema: answers.auditLines } },
    errors: ['bad_request', 'invalid_argument', 'not_found', 'unavailable'],
  },
  'GET /api/admin/audit/instances': {
    ...admin('auditInstances', 'The audit logs of the instances that share a store'),
    description:
      'Needs `admin` on `*`. `own` is how far the copies of the asked server’s log are: the last line that was acknowledged, and ' +
      'how many durable ones wait, since when and why; null where it is alone. `chains` are the copies that there are: a chain is ' +
      'its instance’s id, with `-1`, `-2`, … where its log was put back to an earlier state.',
    answers: { 200: json(answers.auditInstances, 'The copies that there are') },
    errors: ['unavailable'],
  },
  'GET /api/admin/audit/head': {
    ...admin('auditHead', 'Where the audit log begins and ends'),
    description:
      'Needs `admin` on `*`. `head` is the newest line, `anchor` the one that the store has sealed, `first` the number of the ' +
      'oldest one that is there.',
    answers: { 200: json(answers.auditHead, 'The log’s ends, the store and its key') },
  },
  'POST /api/admin/backup': {
    ...admin('backup', 'A backup of the store and of the audit log, as of now'),
    description:
      'Needs `admin` on `*`. The answer is a file of the format `coffer-backup-v1`. If the connection ends early, it is not ' +
      'whole. One at a time; who takes nothing for a minute is cut off.',
    request: body(schemas.backupRequest, {}),
    answers: { 200: { description: 'The file', type: 'application/octet-stream' } },
    errors: ['conflict'],
  },
  'GET /api/admin/keys': {
    ...admin('listKeys', 'The keys, and how many records are under each'),
    description: 'Needs `admin` on `*`. Counts exactly, and reads the whole store for it.',
    answers: { 200: json(answers.keys, 'The keys, without themselves') },
  },
  'GET /api/admin/keys/rotation': {
    ...admin('showRotation', 'How far the re-encryption under a new data key is'),
    description: 'Needs `admin` on `*`.',
    answers: { 200: json(answers.keyRotation, 'Counts, or null') },
  },
  'POST /api/admin/keys/rotate': {
    ...admin('rotateKeys', 'Put a new data key, or a new root key, in force'),
    description:
      'Needs `admin` on `*`. Under a new data key the records are re-encrypted in the background, and then the old one is ' +
      'destroyed. A new root key takes the place of the file of the present one, or is where `to` says.',
    change: true,
    request: body(schemas.rotateKeysRequest, {}),
    answers: { 200: json(answers.keys, 'The keys, the new one in force') },
    errors: CHANGE_ERRORS,
  },
  'GET /api/admin/storage': {
    ...admin('storageStatus', 'How the store is, and the instances that share it'),
    description:
      'Needs `admin` on `*`. As the instance that answers sees it, within some seconds also while the servers are away.',
    answers: { 200: json(answers.storage, 'The store') },
  },
  'POST /api/admin/storage/replicas': {
    ...admin('setStorageReplicas', 'On how many servers a shared store is kept'),
    description: 'Needs `admin` on `*`. While all goes on: the servers copy in the background.',
    request: body(schemas.storageReplicasRequest, { replicas: 5 }),
    answers: { 200: json(answers.empty, 'It is being done') },
    errors: ['invalid_argument', 'unfit_store'],
  },
  'POST /api/admin/storage/forget': {
    ...admin('forgetMember', 'An instance of a shared store will not come back'),
    description:
      'Needs `admin` on `*`. What is deleted is then not kept for it any more. One that lives is not forgotten.',
    request: body(schemas.storageForgetRequest, { member: '0123456789abcdef' }),
    answers: { 200: json(answers.member, 'Whom nothing waits for any more') },
    errors: ['invalid_argument', 'not_found', 'conflict', 'unfit_store'],
  },
  'POST /api/admin/storage/heal': {
    ...admin('healStorage', 'Bring back what a shared store has lost, and lift the alarm'),
    description:
      'Needs `admin` on `*`. Compares the replicas of all instances with the store. What was deleted or revoked stays so; where two ' +
      'futures of one record are found, one wins and the other is kept aside. A member that does not answer is to be named in ' +
      '`without`, since what only it has is not brought back. It may take minutes.',
    request: body(schemas.storageHealRequest, { dryRun: true }),
    answers: { 200: json(answers.healReport, 'What was brought back, or would be in a dry run') },
    errors: ['invalid_argument', 'not_found', 'conflict', 'unfit_store'],
  },
  'POST /api/admin/storage/set-aside': {
    ...admin('setAside', 'How much heals of a shared store have set aside, and remove it'),
    description:
      'Needs `admin` on `*`. Futures that lost, and what was damaged: nobody reads it. With `remove` it is removed for good; an ' +
      'instance that was away at such a heal, and comes back then, raises the alarm if it had some of it.',
    request: body(schemas.storageSetAsideRequest, { remove: true }),
    answers: { 200: json(answers.setAside, 'How much it is, or was') },
    errors: ['invalid_argument', 'unfit_store'],
  },
  'GET /api/admin/transit-keys': {
    ...admin('listTransitKeys', 'The keys that wasmCloud hosts seal their requests to'),
    description:
      'Needs `admin` on `*`. Those that are served, of each backend the newest first, without what opens requests.',
    answers: { 200: json(answers.transitKeyList, 'The keys, with when each was last used') },
  },
  'GET /api/admin/signing-keys': {
    ...admin('listSigningKeys', 'The keys with which backends sign, as for log-ins to Vault'),
    description:
      'Needs `admin` on `*`. Those that are not retired, of each backend the newest first, without what signs.',
    answers: { 200: json(answers.transitKeyList, 'The keys') },
  },
  'POST /api/admin/transit-keys/rotate': {
    ...admin('rotateTransitKey', 'Make a new transit key, which hosts are told from now on'),
    description:
      'Needs `admin` on `*`. Requests that are sealed to the older ones are served on, until they are retired. The same operation ' +
      'id again makes no other.',
    change: true,
    request: body(schemas.rotateTransitKeyRequest, { backend: 'nats-kv' }),
    answers: { 200: json(answers.transitKey, 'The current key') },
    errors: [...CHANGE_ERRORS, 'not_found'],
  },
  'POST /api/admin/transit-keys/retire': {
    ...admin('retireTransitKey', 'Serve no more what is sealed to a transit key, for good'),
    description:
      'Needs `admin` on `*`. Hosts that know only that key must be started anew. The current one stays.',
    change: true,
    request: body(schemas.retireTransitKeyRequest, { backend: 'nats-kv', publicKey: XKEY }),
    answers: { 200: json(answers.empty, 'It is retired') },
    errors: [...CHANGE_ERRORS, 'not_found'],
  },
};

function inQuery(name: string, description: string, schema: Parameter['schema']): Parameter {
  return { name, in: 'query', description, schema };
}

function admin(id: string, summary: string) {
  return { id, tag: 'Administration', summary, callers: 'known' } as const;
}

function body(schema: RequestBody['schema'], example: unknown): RequestBody {
  return { schema, form: 'json', example };
}
