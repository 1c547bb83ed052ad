/**
 * The order of the fields in nats-io/jwt's tokens, so that a token reads the same whoever wrote it last; and what Go leaves out
 * because it is empty is left out. Fields that nobody here knows come behind, as they are.
 *
 * Source: nats-io/jwt v2, the Go types of its claims.
 */
const PERMISSIONS = ['pub', 'sub', 'resp'];
const NATS_LIMITS = ['subs', 'data', 'payload'];
/** Of an account, or of one of its tiers. */
export const JETSTREAM = [
  'mem_storage',
  'disk_storage',
  'streams',
  'consumer',
  'max_ack_pending',
  'mem_max_stream_bytes',
  'disk_max_stream_bytes',
  'max_bytes_required',
] as const;
const USER_LIMITS = [
  ...PERMISSIONS,
  ...['src', 'times', 'times_location'],
  ...NATS_LIMITS,
  ...['bearer_token', 'proxy_required', 'allowed_connection_types'],
];
const COMMON = ['description', 'info_url', 'tags'];

const OPERATOR = [
  ...['signing_keys', 'account_server_url', 'operator_service_urls', 'system_account'],
  ...['assert_server_version', 'strict_signing_key_usage', ...COMMON],
];
const ACCOUNT = [
  ...['imports', 'exports', 'limits', 'signing_keys', 'revocations', 'default_permissions'],
  ...['mappings', 'authorization', 'trace', 'cluster_traffic', ...COMMON],
];
const ACCOUNT_LIMITS = [
  ...NATS_LIMITS,
  ...['imports', 'exports', 'wildcards', 'disallow_bearer', 'conn', 'leaf'],
  ...[...JETSTREAM, 'tiered_limits'],
];
const USER = [...USER_LIMITS, 'issuer_account', ...COMMON];

export const inOperatorOrder = <T extends object>(nats: T): T => inOrder(OPERATOR, nats);
export const inUserOrder = <T extends object>(nats: T): T => inOrder(USER, nats);
/** Of the template of a scoped signing key. */
export const inTemplateOrder = <T extends object>(template: T): T => inOrder(USER_LIMITS, template);
export const inJetStreamOrder = <T extends object>(limits: T): T => inOrder(JETSTREAM, limits);

export function inAccountOrder<T extends { readonly limits?: object | undefined }>(nats: T): T {
  const { limits } = nats;
  return inOrder(ACCOUNT, limits === undefined ? nats : { ...nats, limits: inOrder(ACCOUNT_LIMITS, limits) });
}

function inOrder<T extends object>(order: readonly string[], given: T): T {
  const fields = given as Readonly<Record<string, unknown>>;
  const known = order.filter((field) => !isEmpty(fields[field])).map((field) => [field, fields[field]]);
  const unknown = Object.entries(fields).filter(([field]) => !order.includes(field));
  return Object.fromEntries([...known, ...unknown]) as T;
}

/** As `omitempty` has it: objects are Go's structs and stay, but for its maps, which are removed by whoever empties them. */
const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === '' ||
  value === 0 ||
  value === 0n ||
  value === false ||
  (Array.isArray(value) && value.length === 0);
