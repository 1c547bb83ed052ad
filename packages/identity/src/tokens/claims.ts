import { z } from 'zod';
import { IdentityError } from '../errors.js';
import { type KeyKind, parsePublicKey } from '../keys/nkey.js';

/**
 * The claims of JWT version 2, by the names that they have on the wire. Whatever else a token holds stays in it.
 *
 * Durations are nanoseconds, times are seconds since 1970, "unlimited" is −1; an absent limit is 0.
 *
 * Source: nats-io/jwt v2, the Go types of its claims.
 */

const int = z.union([z.int(), z.bigint()]);
const seconds = z.int().min(0);
const strings = z.array(z.string());
/** Go writes an empty list as `null`. */
const list = <T extends z.ZodType>(item: T) => z.array(item).nullish();

const keyOf = (...kinds: readonly KeyKind[]) =>
  z.string().refine((text) => isKey(text, kinds), `is no public key of kind ${kinds.join(' or ')}`);

function isKey(text: string, kinds: readonly KeyKind[]): boolean {
  try {
    return kinds.includes(parsePublicKey(text).kind);
  } catch (error) {
    if (error instanceof IdentityError) return false;
    throw error;
  }
}

const generic = { type: z.string(), version: z.literal(2), tags: list(z.string()) };

/** How a user may connect to a nats-server. Source: nats-server 2.15 and nats-io/jwt v2 (`user_claims.go`, `ConnectionType…`). */
export const CONNECTION_TYPES: readonly string[] = [
  'STANDARD',
  'WEBSOCKET',
  'LEAFNODE',
  'LEAFNODE_WS',
  'MQTT',
  'MQTT_WS',
  'IN_PROCESS',
];

export const permission = z.looseObject({ allow: list(z.string()), deny: list(z.string()) });
const responsePermission = z.looseObject({ max: z.int(), ttl: int });
const permissions = {
  pub: permission.optional(),
  sub: permission.optional(),
  resp: responsePermission.nullish(),
};
const timeRange = z.looseObject({ start: z.string().optional(), end: z.string().optional() });
/** nats-io/jwt reads a list from a text with commas, too. */
const cidrs = z
  .union([strings, z.string().transform((text) => text.split(',').map((one) => one.trim()))])
  .nullish();
const natsLimits = { subs: int.optional(), data: int.optional(), payload: int.optional() };

const userPermissionLimits = {
  ...permissions,
  src: cidrs,
  times: list(timeRange),
  times_location: z.string().optional(),
  ...natsLimits,
  bearer_token: z.boolean().optional(),
  proxy_required: z.boolean().optional(),
  allowed_connection_types: list(z.string()),
};

const userScope = z.looseObject({
  kind: z.literal('user_scope'),
  key: keyOf('account'),
  role: z.string(),
  template: z.looseObject(userPermissionLimits),
  description: z.string().optional(),
});

const revocations = z.record(z.string(), z.int()).nullish();

const jetStreamLimits = {
  mem_storage: int.optional(),
  disk_storage: int.optional(),
  streams: int.optional(),
  consumer: int.optional(),
  max_ack_pending: int.optional(),
  mem_max_stream_bytes: int.optional(),
  disk_max_stream_bytes: int.optional(),
  max_bytes_required: z.boolean().optional(),
};

const accountLimits = z.looseObject({
  ...natsLimits,
  imports: int.optional(),
  exports: int.optional(),
  wildcards: z.boolean().optional(),
  disallow_bearer: z.boolean().optional(),
  conn: int.optional(),
  leaf: int.optional(),
  ...jetStreamLimits,
  tiered_limits: z.record(z.string(), z.looseObject(jetStreamLimits)).nullish(),
});

const streamOrService = z.enum(['stream', 'service']);

const natsImport = z.looseObject({
  name: z.string().optional(),
  subject: z.string().optional(),
  account: z.string().optional(),
  token: z.string().optional(),
  to: z.string().optional(),
  local_subject: z.string().optional(),
  type: streamOrService.optional(),
  share: z.boolean().optional(),
  allow_trace: z.boolean().optional(),
});

const natsExport = z.looseObject({
  name: z.string().optional(),
  subject: z.string().optional(),
  type: streamOrService.optional(),
  token_req: z.boolean().optional(),
  revocations,
  response_type: z.string().optional(),
  response_threshold: int.optional(),
  service_latency: z.looseObject({ sampling: z.unknown(), results: z.string() }).nullish(),
  account_token_position: z.int().min(0).optional(),
  advertise: z.boolean().optional(),
  allow_trace: z.boolean().optional(),
  description: z.string().optional(),
  info_url: z.string().optional(),
});

const standard = {
  jti: z.string().optional(),
  iat: seconds,
  iss: z.string(),
  sub: z.string(),
  name: z.string().optional(),
  exp: seconds.optional(),
  nbf: seconds.optional(),
  aud: z.string().optional(),
};

export const operatorClaims = z.looseObject({
  ...standard,
  iss: keyOf('operator'),
  sub: keyOf('operator'),
  nats: z.looseObject({
    ...generic,
    type: z.literal('operator'),
    signing_keys: list(keyOf('operator')),
    account_server_url: z.string().optional(),
    operator_service_urls: list(z.string()),
    system_account: z.string().optional(),
    assert_server_version: z.string().optional(),
    strict_signing_key_usage: z.boolean().optional(),
  }),
});

export const accountClaims = z.looseObject({
  ...standard,
  iss: keyOf('operator', 'account'),
  sub: keyOf('account'),
  nats: z.looseObject({
    ...generic,
    type: z.literal('account'),
    imports: list(natsImport),
    exports: list(natsExport),
    limits: accountLimits.optional(),
    signing_keys: list(z.union([keyOf('account'), userScope])),
    revocations,
    default_permissions: z.looseObject(permissions).optional(),
    mappings: z.record(z.string(), z.unknown()).nullish(),
    authorization: z
      .looseObject({
        auth_users: list(z.string()),
        allowed_accounts: list(z.string()),
        xkey: z.string().optional(),
      })
      .optional(),
    trace: z.looseObject({ dest: z.string().optional(), sampling: z.int().optional() }).nullish(),
    cluster_traffic: z.string().optional(),
    description: z.string().optional(),
    info_url: z.string().optional(),
  }),
});

export const userClaims = z.looseObject({
  ...standard,
  iss: keyOf('account'),
  sub: keyOf('user'),
  nats: z.looseObject({
    ...userPermissionLimits,
    issuer_account: keyOf('account').optional(),
    ...generic,
    type: z.literal('user'),
  }),
});

export const activationClaims = z.looseObject({
  ...standard,
  iss: keyOf('account', 'operator'),
  sub: z.union([keyOf('account'), z.enum(['public', '*'])]),
  nats: z.looseObject({
    subject: z.string().optional(),
    kind: streamOrService.optional(),
    issuer_account: keyOf('account').optional(),
    ...generic,
    type: z.literal('activation'),
  }),
});

/** Any other type of version 2, and tokens without one. */
export const genericClaims = z.looseObject({
  ...standard,
  nats: z.looseObject({ tags: list(z.string()), type: z.string().optional() }).optional(),
});

export type Permission = z.output<typeof permission>;
export type UserScope = z.output<typeof userScope>;
export type UserPermissionLimits = UserScope['template'];
export type AccountLimits = z.output<typeof accountLimits>;
export type Import = z.output<typeof natsImport>;
export type Export = z.output<typeof natsExport>;
export type OperatorClaims = z.output<typeof operatorClaims>;
export type AccountClaims = z.output<typeof accountClaims>;
export type UserClaims = z.output<typeof userClaims>;
export type ActivationClaims = z.output<typeof activationClaims>;
export type GenericClaims = z.output<typeof genericClaims>;

/**
 * An account's signing keys, each with its scope if it has one: users that such a key signs have the scope's permissions and
 * limits, and none of their own.
 */
export function signingKeysOf({ nats }: Pick<AccountClaims, 'nats'>): Map<string, UserScope | undefined> {
  return new Map(
    (nats.signing_keys ?? []).map((entry) =>
      typeof entry === 'string' ? [entry, undefined] : [entry.key, entry],
    ),
  );
}
