import { IdentityError, parsePublicKey } from '@coffer/identity';
import type { z } from 'zod';
import { encodeSecret } from '../protocol/encode-secret.js';
import { SecretsError, type SecretsErrorCode } from '../protocol/errors.js';
import { readJson } from '../protocol/json.js';
import {
  getSecretSchema,
  listMappingsSchema,
  mappingNamesSchema,
  putRequestSchema,
  secretRequestSchema,
} from '../protocol/messages.js';
import { sealAnswer } from '../protocol/sealing.js';
import { type Answer, jsonAnswer, sealedAnswer, textAnswer } from './answer.js';
import type { Lineage } from './lineage.js';
import type { BackendOperations, FetchSecret, Operation, Secret } from './options.js';
import { askerOf, hostXkeyOf, type Request } from './request.js';
import type { TransitOpener } from './transit.js';

/** What the operations stand on. */
export interface Ground {
  readonly lineage: Lineage;
  readonly transit: TransitOpener;
  readonly fetch: FetchSecret;
  readonly operations: BackendOperations | undefined;
}

/**
 * Does what one request asks for.
 *
 * @param heard called when the backend itself is asked: from there on it knows, and audits, who asks
 * @throws SecretsError what is to be answered; anything else is a mistake of our own
 */
export type Perform = (ground: Ground, request: Request, heard: () => void) => Promise<Answer>;

/**
 * Sealed requests hold no more than tokens and a policy, of some KiB in all; but a provider's token may hold the schema of its
 * configuration, for whose size there is no rule. Large messages are no cheaper way to keep us busy: to try a key on so many
 * bytes costs three times as much as on none.
 */
const REQUEST_BYTES = 256 * 1024;
/** A value of a mebibyte, as a list of numbers, with room for its name. */
const PUT_BYTES = 5 * 1024 * 1024;

const get: Perform = async ({ lineage, transit, fetch }, request, heard) => {
  const hostXkey = sealedBy(request, REQUEST_BYTES);
  const { key, field, version, context } = opened(transit, request, hostXkey, secretRequestSchema);
  const entity = await lineage.entity(context.entity_jwt);
  const host = await lineage.host(context.host_jwt);
  const { name, policy } = context.application;
  const application = { name: name ?? undefined, policy };
  heard();
  const query = { key, field: field ?? undefined, version: version ?? undefined };
  return sealedSecret(await fetch(query, { entity, host, application }), hostXkey);
};

const getSecret: Perform = async (ground, request, heard) => {
  const operations = administration(ground);
  const hostXkey = sealedBy(request, REQUEST_BYTES);
  const { key, field, version } = opened(ground.transit, request, hostXkey, getSecretSchema);
  heard();
  const query = { key, field: field ?? undefined, version: version ?? undefined };
  return sealedSecret(await operations.getSecret(query, askerOf(request)), hostXkey);
};

const putSecret: Perform = async (ground, request, heard) => {
  const operations = administration(ground);
  const hostXkey = sealedBy(request, PUT_BYTES);
  const put = opened(ground.transit, request, hostXkey, putRequestSchema, 'InvalidPayload');
  // Both given: the string wins.
  const [kind, value] =
    typeof put.string_secret === 'string'
      ? (['string', Buffer.from(put.string_secret)] as const)
      : (['binary', put.binary_secret && Uint8Array.from(put.binary_secret)] as const);
  if (!value) throw new SecretsError('InvalidPayload');
  try {
    heard();
    const revision = await operations.putSecret({ key: put.key, kind, value }, askerOf(request));
    return jsonAnswer({ revision, error: null });
  } finally {
    value.fill(0);
  }
};

const editMapping =
  (operation: 'addMapping' | 'removeMapping'): Perform =>
  async (ground, request, heard) => {
    const operations = administration(ground);
    if (request.entity === undefined) throw new SecretsError('Other', 'no entity provided');
    const entity = entityKey(request.entity);
    if (request.payload.length > REQUEST_BYTES) throw new SecretsError('InvalidPayload');
    const names = readJson(mappingNamesSchema, request.payload);
    if (names === undefined) throw new SecretsError('InvalidRequest');
    heard();
    await operations[operation](entity, names, askerOf(request));
    return textAnswer('ok');
  };

const listMappings: Perform = async (ground, request, heard) => {
  const operations = administration(ground);
  const hostXkey = sealedBy(request, REQUEST_BYTES);
  opened(ground.transit, request, hostXkey, listMappingsSchema);
  const entity = request.entity === undefined ? undefined : entityKey(request.entity);
  heard();
  const mappings = await operations.listMappings(entity, askerOf(request));
  return sealedAnswer(sealAnswer(Buffer.from(JSON.stringify({ mappings })), hostXkey));
};

const unknown: Perform = async () => {
  throw new SecretsError('Other', 'unknown operation');
};

/** Every operation but the one that is answered from memory. */
export const PERFORM: Readonly<Record<Exclude<Operation, 'server_xkey'>, Perform>> = {
  get,
  get_secret: getSecret,
  put_secret: putSecret,
  add_mapping: editMapping('addMapping'),
  remove_mapping: editMapping('removeMapping'),
  list_mappings: listMappings,
  unknown,
};

/** Checks what can be checked of a sealed request from outside. Without headers it is no sealed request, whatever else it is. */
function sealedBy({ headers, payload: { length } }: Request, most: number): string {
  if (!headers) throw new SecretsError('InvalidHeaders');
  if (length === 0 || length > most) throw new SecretsError('InvalidPayload');
  return hostXkeyOf(headers);
}

function opened<S extends z.ZodType>(
  transit: TransitOpener,
  { payload }: Request,
  hostXkey: string,
  schema: S,
  otherwise: SecretsErrorCode = 'InvalidRequest',
): z.output<S> {
  const plaintext = transit.open(payload, hostXkey);
  if (plaintext === undefined) throw new SecretsError('DecryptionError');
  try {
    const message = readJson(schema, plaintext);
    if (message === undefined) throw new SecretsError(otherwise);
    return message;
  } finally {
    plaintext.fill(0);
  }
}

function sealedSecret(secret: Secret, hostXkey: string): Answer {
  try {
    return sealedAnswer(sealAnswer(encodeSecret(secret), hostXkey));
  } finally {
    secret.value.fill(0);
  }
}

function administration({ operations }: Ground): BackendOperations {
  if (operations) return operations;
  throw new SecretsError('Other', 'this backend has no such operation');
}

function entityKey(text: string): string {
  if (isEntityKey(text)) return text;
  throw new SecretsError(
    'Other',
    'the subject ends in the public key of a component (M…) or a provider (V…)',
  );
}

function isEntityKey(text: string): boolean {
  try {
    return ['component', 'provider'].includes(parsePublicKey(text).kind);
  } catch (error) {
    if (error instanceof IdentityError) return false;
    throw error;
  }
}
