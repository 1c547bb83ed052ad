import {
  type ActivationClaims,
  activationHash,
  type OperatorClaims,
  type OperatorStore,
  type UserClaims,
  type UserPermissionLimits,
} from '@coffer/identity';
import { formatGoDuration, shownBytes, shownTime } from './flags.js';
import { Table } from './table.js';

/** The tables of operators, users and activations: nsc's rows, in nsc's order. */

interface Common {
  readonly name?: string | undefined;
  readonly sub: string;
  readonly iss: string;
  readonly iat: number;
  readonly exp?: number | undefined;
  readonly nats: {
    readonly issuer_account?: string | undefined;
    readonly tags?: readonly string[] | null | undefined;
  };
}

export function standardRows(table: Table, label: string, { name, sub, iss, iat, exp, nats }: Common): void {
  if (name) table.row('Name', name);
  table.row(label, sub).row('Issuer ID', iss);
  if (nats.issuer_account) table.row('Issuer Account', nats.issuer_account);
  table.row('Issued', shownTime(iat)).row('Expires', shownTime(exp)).list('Tags', nats.tags);
}

/** @param store knows the name of the system account */
export function operatorTable(claims: OperatorClaims, store: OperatorStore | undefined): string {
  const { nats } = claims;
  const table = new Table('Operator Details');
  standardRows(table, 'Operator ID', claims as Common);
  if (nats.account_server_url) table.row('Account JWT Server', nats.account_server_url);
  table.list('Operator Service URLs', nats.operator_service_urls);
  if (nats.system_account) {
    const name = store?.accountOf(nats.system_account)?.name;
    table.row('System Account', nats.system_account + (name === undefined ? '' : ` / ${name}`));
  }
  table.row('Require Signing Keys', String(nats.strict_signing_key_usage ?? false));
  return table.line().list('Signing Keys', nats.signing_keys).toString();
}

export function userTable(claims: UserClaims): string {
  const { nats } = claims;
  const table = new Table('User');
  standardRows(table, 'User ID', claims as Common);
  if (isScoped(nats)) return table.row('Issuer Scoped', 'Yes').toString();
  table.row('Bearer Token', yesOrNo(nats.bearer_token));
  permissionRows(table, nats);
  table.line();
  limitRows(table, nats);
  return table.line().list('Allowed Connection Types', nats.allowed_connection_types).toString();
}

/** Without permissions and limits of its own, as users of scoped signing keys are. */
function isScoped(nats: UserPermissionLimits): boolean {
  const { pub, sub, resp, src, times, subs, data, payload, bearer_token, allowed_connection_types } = nats;
  const lists = [pub?.allow, pub?.deny, sub?.allow, sub?.deny, src, times, allowed_connection_types];
  return (
    !resp && !subs && !data && !payload && !bearer_token && lists.every((list) => (list ?? []).length === 0)
  );
}

export function permissionRows(table: Table, { pub, sub, resp }: UserPermissionLimits): void {
  const lists = [
    ['Pub Allow', pub?.allow],
    ['Pub Deny', pub?.deny],
    ['Sub Allow', sub?.allow],
    ['Sub Deny', sub?.deny],
  ] as const;
  if (lists.some(([, list]) => (list ?? []).length > 0)) table.line();
  for (const [label, list] of lists) table.list(label, list);
  if (resp == null) {
    table.row('Response Permissions', 'Not Set');
    return;
  }
  table.row('Max Responses', String(resp.max));
  table.row('Response Permission TTL', formatGoDuration(Number(resp.ttl)));
}

export function limitRows(table: Table, limits: UserPermissionLimits): void {
  const bytes = (count: number | bigint = 0) =>
    count > 0 ? `${count} bytes (≈${shownBytes(Number(count))})` : 'Unlimited';
  const { src, times, subs = 0 } = limits;
  table.row('Max Msg Payload', bytes(limits.payload)).row('Max Data', bytes(limits.data));
  table.row('Max Subs', subs > 0 ? String(subs) : 'Unlimited');
  table.row('Network Src', src?.length ? `[${src.join(' ')}]` : 'Any');
  if (!times?.length) table.row('Time', 'Any');
  table.list(
    'Time',
    times?.map(({ start, end }) => `${start}-${end}`),
  );
}

export function activationTable(claims: ActivationClaims): string {
  const table = new Table('Activation');
  standardRows(table, 'Account ID', claims as Common);
  table.line().row('Hash ID', activationHash(claims));
  table.line().row('Import Type', titleCase(claims.nats.kind));
  return table.row('Import Subject', claims.nats.subject ?? '').toString();
}

export const yesOrNo = (value: boolean | undefined): string => (value ? 'Yes' : 'No');
export const titleCase = (text = 'unknown'): string => text.charAt(0).toUpperCase() + text.slice(1);
