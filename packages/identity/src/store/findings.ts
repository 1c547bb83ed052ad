import { type AccountClaims, type OperatorClaims, signingKeysOf, type UserClaims } from '../tokens/claims.js';
import type { StoreContext } from './context.js';
import { StoreError } from './errors.js';
import { error, type Finding } from './finding.js';
import type { OperatorStore } from './operator-store.js';
import { accountFindings, operatorFindings, userFindings } from './validate.js';

/** What is wrong in a store: with each token for itself, and with who signed it. */
export interface StoreFindings {
  readonly operator: readonly Finding[];
  readonly accounts: readonly { readonly name: string; readonly findings: readonly Finding[] }[];
}

/** A token that cannot be read is a finding, too; who may sign is not known where it is the operator's. */
export function findingsIn(
  { store }: StoreContext,
  accounts: readonly string[],
  now: Date = new Date(),
): StoreFindings {
  const operator = readable(() => store.operator().claims);
  return {
    operator: Array.isArray(operator) ? operator : operatorFindings(operator, now),
    accounts: accounts.map((name) => ({
      name,
      findings: findingsOf(store, name, Array.isArray(operator) ? undefined : operator, now),
    })),
  };
}

function findingsOf(
  store: OperatorStore,
  name: string,
  operator: OperatorClaims | undefined,
  now: Date,
): Finding[] {
  const account = readable(() => store.account(name).claims);
  const known = Array.isArray(account) ? undefined : account;
  const { tokens, damaged } = store.scanUsers(name);
  const users = tokens.flatMap(({ name: user, jwt }) =>
    [
      ...userFindings(jwt.claims, now),
      ...(operator && known ? problemsOfUser(operator, known, jwt.claims).map(error) : []),
    ].map(({ level, text }) => ({ level, text: `user ${JSON.stringify(user)}: ${text}` })),
  );
  return [
    ...(known === undefined ? (account as Finding[]) : accountFindings(known, now)),
    ...(operator && known ? problemsOfAccount(operator, known, store.managed).map(error) : []),
    ...users,
    ...damaged.map(({ name: user, problem }) => error(`user ${JSON.stringify(user)}: ${problem}`)),
  ];
}

/** What can be read or, as a finding, why it cannot. */
function readable<T extends object>(read: () => T): T | Finding[] {
  try {
    return read();
  } catch (problem) {
    if (!(problem instanceof StoreError)) throw problem;
    return [error(problem.message)];
  }
}

function problemsOfAccount(operator: OperatorClaims, account: AccountClaims, managed: boolean): string[] {
  const { mem_storage: memory, disk_storage: disk } = account.nats.limits ?? {};
  const isSystem = operator.nats.system_account === account.sub;
  const hasJetStream = [memory, disk].some((limit) => limit !== undefined && limit !== 0);
  const signed = signerProblem(operator, account, managed);
  return [
    ...(isSystem && hasJetStream ? ['it is the system account, which cannot have JetStream'] : []),
    ...(signed === undefined ? [] : [signed]),
  ];
}

function signerProblem(
  { sub, nats }: OperatorClaims,
  account: AccountClaims,
  managed: boolean,
): string | undefined {
  const { iss } = account;
  if (nats.signing_keys?.includes(iss) || (managed && iss === account.sub)) return undefined;
  if (iss !== sub) return 'it is signed by none of the operator’s keys';
  if (!nats.strict_signing_key_usage) return undefined;
  return 'it is signed by the operator’s own key, and the operator demands signing keys';
}

function problemsOfUser(operator: OperatorClaims, account: AccountClaims, user: UserClaims): string[] {
  const signed = userSignerProblem(operator, account, user);
  const bearer = account.nats.limits?.disallow_bearer && user.nats.bearer_token;
  return [
    ...(signed === undefined ? [] : [signed]),
    ...(bearer ? ['it is a bearer token, which the account does not allow'] : []),
  ];
}

function userSignerProblem(
  operator: OperatorClaims,
  account: AccountClaims,
  { iss, nats }: UserClaims,
): string | undefined {
  const keys = signingKeysOf(account);
  if (iss === account.sub) {
    return operator.nats.strict_signing_key_usage
      ? 'it is signed by the account’s own key, and the operator demands signing keys'
      : undefined;
  }
  if (!keys.has(iss)) return 'it is signed by none of the account’s keys';
  if (nats.issuer_account !== account.sub)
    return 'it is signed by a signing key and does not name the account';
  if (keys.get(iss) === undefined || !hasOwnLimits(nats)) return undefined;
  return 'it is signed by a key with a role, and has permissions or limits of its own';
}

const OWN = [
  ...['resp', 'src', 'times', 'times_location', 'subs', 'data', 'payload', 'bearer_token'],
  'allowed_connection_types',
];

/** nats-server refuses such a user if its key has a role. */
function hasOwnLimits(nats: UserClaims['nats']): boolean {
  const subjects = Object.keys({ ...nats.pub, ...nats.sub });
  return subjects.length > 0 || OWN.some((field) => nats[field] != null && nats[field] !== false);
}
