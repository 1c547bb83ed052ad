import {
  type AccountClaims,
  type AccountLimits,
  decodeActivation,
  type Export,
  type Import,
  signingKeysOf,
  type UserScope,
} from '@coffer/identity';
import { limitRows, permissionRows, standardRows, titleCase, yesOrNo } from './describe-tables.js';
import { shownBytes, shownTime } from './flags.js';
import { hasJetStream } from './jetstream.js';
import { Table } from './table.js';

/** The tables of an account: nsc's rows, in nsc's order. */

export interface TableOptions {
  readonly longIds?: boolean;
}

export function accountTables(claims: AccountClaims, options: TableOptions): string {
  const { exports, imports, mappings } = claims.nats;
  const scopes = [...signingKeysOf(claims).values()].filter((scope) => scope !== undefined);
  return [
    accountTable(claims),
    ...(exports?.length ? exportTables(exports) : []),
    ...(imports?.length ? [importTable(imports, options)] : []),
    ...(Object.keys(mappings ?? {}).length > 0 ? [mappingTable(mappings ?? {})] : []),
    ...scopes.map(scopeTable),
  ].join('\n');
}

function accountTable(claims: AccountClaims): string {
  const { nats } = claims;
  const { limits = {}, authorization, trace } = nats;
  const table = new Table('Account Details');
  standardRows(table, 'Account ID', claims);
  table.line();
  if (nats.description) table.row('Description', nats.description.replaceAll('\n', ' '));
  if (nats.info_url) table.row('Info Url', nats.info_url);
  table
    .line()
    .list('Signing Keys', [...signingKeysOf(claims).keys()])
    .line();
  if (authorization?.auth_users?.length) {
    table.list('Auth Callout Users', authorization.auth_users);
    table.list('Allowed Accounts', authorization.allowed_accounts);
    if (authorization.xkey) table.row('Encrypt For', authorization.xkey);
    table.line();
  }
  accountLimitRows(table, limits);
  permissionRows(table, nats.default_permissions ?? {});
  table.line();
  jetStreamRows(table, limits);
  table.line();
  if (!nats.imports?.length) table.row('Imports', 'None');
  if (!nats.exports?.length) table.row('Exports', 'None');
  const revocations = Object.keys(nats.revocations ?? {}).length;
  if (revocations > 0) table.line().row('Revocations', String(revocations));
  table.line();
  if (trace == null) return table.row('Tracing Context', 'Disabled').toString();
  table.row('Tracing Context', 'Enabled').row('Subject', trace.dest ?? '');
  return table.row('Sampling', `${trace.sampling || 100}%`).toString();
}

type Count = number | bigint | undefined;

const count = (limit: Count = 0): string => (limit > -1 ? String(limit) : 'Unlimited');
const bytes = (limit: Count = 0): string =>
  limit > -1 ? `${shownBytes(Number(limit))} (${limit} bytes)` : 'Unlimited';
const trueOrFalse = (value: boolean | undefined): string => (value ? 'True' : 'False');

function accountLimitRows(table: Table, limits: AccountLimits): void {
  const { leaf = 0 } = limits;
  table.row('Max Connections', count(limits.conn));
  table.row('Max Leaf Node Connections', leaf === 0 ? 'Not Allowed' : count(leaf));
  table.row('Max Data', bytes(limits.data));
  table.row('Max Exports', count(limits.exports)).row('Max Imports', count(limits.imports));
  table.row('Max Msg Payload', bytes(limits.payload)).row('Max Subscriptions', count(limits.subs));
  table.row('Exports Allows Wildcards', trueOrFalse(limits.wildcards));
  table.row('Disallow Bearer Token', trueOrFalse(limits.disallow_bearer));
}

type TierLimits = NonNullable<AccountLimits['tiered_limits']>[string];

function jetStreamRows(table: Table, limits: AccountLimits): void {
  const tiers = Object.entries(limits.tiered_limits ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  if (!hasJetStream(limits)) {
    table.row('Jetstream', 'Disabled');
  } else if (tiers.length === 0) {
    table.row('Jetstream', 'Enabled');
    tierRows(table, limits);
  }
  for (const [tier, own] of tiers) {
    table.line().row('Jetstream Tier', tier);
    tierRows(table, own);
  }
}

function tierRows(table: Table, limits: TierLimits): void {
  const storage = (size: Count = 0) =>
    size > 0 ? shownBytes(Number(size)) : size === 0 || size === 0n ? 'Disabled' : 'Unlimited';
  const { max_ack_pending: pending = 0 } = limits;
  table.row('Max Disk Storage', storage(limits.disk_storage));
  table.row('Max Mem Storage', storage(limits.mem_storage));
  table.row('Max Streams', count(limits.streams)).row('Max Consumers', count(limits.consumer));
  table.row('Max Ack Pending', pending > 0 ? String(pending) : 'Consumer Setting');
  table.row('Max Bytes', `${limits.max_bytes_required ? 'required' : 'optional'} (Stream setting)`);
  table.row('Max Memory Stream', bytes(limits.mem_max_stream_bytes));
  table.row('Max Disk Stream', bytes(limits.disk_max_stream_bytes));
}

function exportTables(exports: readonly Export[]): string[] {
  const table = new Table(
    'Exports',
    ...[
      'Name',
      'Type',
      'Subject',
      'Account Token Position',
      'Public',
      'Revocations',
      'Tracking',
      'Allow Trace',
    ],
  );
  for (const item of exports) {
    const { type, subject = '', account_token_position: position, service_latency: latency } = item;
    const response =
      item.response_type === 'Stream' || item.response_type === 'Chunked' ? ` [${item.response_type}]` : '';
    const tracking = latency == null ? '-' : `${latency.results} (${latency.sampling}%)`;
    table.row(
      item.name ?? '',
      titleCase(type) + (type === 'service' ? response : ''),
      subject,
      position ? String(position) : '-',
      yesOrNo(!item.token_req),
      String(Object.keys(item.revocations ?? {}).length),
      type === 'service' ? tracking : 'N/A',
      yesOrNo(item.allow_trace),
    );
  }
  const described = exports.filter(({ description, info_url: url }) => description || url);
  if (described.length === 0) return [table.toString()];
  const descriptions = new Table('Exports - Descriptions', 'Name', 'Description', 'Info Url');
  for (const { name = '', description = '', info_url: url = '' } of described) {
    descriptions.row(name, description.replaceAll('\n', ' '), url);
  }
  return [table.toString(), descriptions.toString()];
}

function importTable(imports: readonly Import[], { longIds }: TableOptions): string {
  const table = new Table('Imports', 'Name', 'Type', 'Remote', 'Local', 'Expires', 'From Account', 'Public');
  for (const item of imports) {
    const { type, subject = '', to = '', local_subject: local = '', account = '', token } = item;
    const swapped = type === 'service' && to !== '';
    table.row(
      item.name ?? '',
      titleCase(type),
      swapped ? to : subject,
      swapped ? subject : local || to,
      token ? expiryOf(token) : '',
      longIds ? account : shortKey(account),
      yesOrNo(!token),
    );
  }
  return table.toString();
}

function expiryOf(token: string): string {
  try {
    return shownTime(decodeActivation(token).claims.exp);
  } catch {
    return 'error decoding';
  }
}

/** Enough to tell keys apart, as nsc shows them unless asked for all of it. */
const shortKey = (key: string): string => (key.length > 12 ? `${key.slice(0, 4)} .. ${key.slice(-3)}` : key);

function mappingTable(mappings: Readonly<Record<string, unknown>>): string {
  const table = new Table('Mappings', 'From', 'To', 'Weight (%)');
  for (const [from, targets] of Object.entries(mappings)) {
    const list = (Array.isArray(targets) ? targets : []) as { subject?: string; weight?: number }[];
    let sum = 0;
    for (const [index, { subject = '', weight }] of list.entries()) {
      sum += weight || 100;
      table.row(index === 0 ? from : '', subject, String(weight || 100));
    }
    table.row('', '', `sum=${sum}`);
  }
  return table.toString();
}

function scopeTable({ key, role, description, template }: UserScope): string {
  const table = new Table('Scoped Signing Key - Details');
  table
    .row('Key', key)
    .row('Role', role)
    .row('Description', description ?? '');
  permissionRows(table, template);
  limitRows(table, template);
  table.row('Bearer Token', yesOrNo(template.bearer_token));
  return table.line().list('Allowed Connection Types', template.allowed_connection_types).toString();
}
