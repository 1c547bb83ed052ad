import {
  type AccountClaims,
  accountMeant,
  type StoreContext,
  saveAccount,
  signingKeysOf,
  type UserScope,
} from '@coffer/identity';
import { holdsSeed } from '@coffer/identity/masked';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';
import { newKey } from './common-claims.js';
import { anyGiven, changeUserLimits, USER_LIMIT_FLAGS, type UserLimitOptions } from './permissions.js';
import { inKeyOrder, keyOf, signingKeyNamed } from './signing-keys.js';
import { changeStore, maybeName, type Report, type StoreOptions } from './workplace.js';

export type EditSigningKeyOptions = StoreOptions &
  UserLimitOptions & {
    readonly account?: string;
    readonly sk?: string;
    readonly role?: string;
    readonly description?: string;
  };

const FLAGS = [...USER_LIMIT_FLAGS, 'role', 'description', 'privateKey'];

/** Gives a signing key a scope, or changes the one that it has. */
export async function editSigningKey(
  operand: string | undefined,
  options: EditSigningKeyOptions,
): Promise<void> {
  const named = maybeName(operand, options.sk, 'signing key');
  if (named === undefined) throw new Failure('say which signing key: its public key, its role, or generate');
  if (!anyGiven(options, FLAGS)) {
    throw new Failure('say what to change; see "coffer identity edit signing-key --help"');
  }
  await changeStore(options, (context, report) => {
    const account = accountMeant(context, options.account);
    const { claims } = context.store.account(account);
    if (holdsSeed(options.role ?? '')) {
      throw new Failure('a role is not secret, and this one has a seed in it: choose another');
    }
    if (options.role !== undefined) requireFreeRole(claims, named, options.role);
    const key = named === 'generate' ? generate(context, account, report) : signingKeyNamed(claims, named);
    const before: UserScope = signingKeysOf(claims).get(key) ?? newScope(key);
    const template = changeUserLimits(before.template, options, report);
    const scope = {
      ...before,
      role: options.role ?? before.role,
      template,
      description: options.description ?? before.description ?? '',
    };
    const others = (claims.nats.signing_keys ?? []).filter((entry) => keyOf(entry) !== key);
    const nats = { ...claims.nats, signing_keys: inKeyOrder([...others, scope]) };
    saveAccount(context, account, { ...claims, nats }, { key: options.privateKey, before: claims.iss });
    report.settle();
    context.ledger.note({ key, use: 'signing-key', operator: context.store.name, account, role: scope.role });
    warnOfOwnLimits(context, account, key, report);
    report.ok(`edited signing key ${quote(key)}`);
  });
}

const newScope = (key: string): UserScope => ({
  kind: 'user_scope',
  key,
  role: '',
  template: { pub: {}, sub: {}, subs: -1, data: -1, payload: -1 },
  description: '',
});

function generate(context: StoreContext, account: string, report: Report): string {
  const note = { use: 'signing-key', operator: context.store.name, account } as const;
  const key = newKey(context, 'account', note, report);
  report.ok(`added signing key ${quote(key)}`);
  return key;
}

/** -K takes a role, so that it has to name one key. */
function requireFreeRole(claims: AccountClaims, named: string, role: string): void {
  const other = [...signingKeysOf(claims)].find(([key, scope]) => {
    const isNamed = key === named || scope?.role === named;
    return scope !== undefined && scope.role === role && !isNamed;
  });
  if (other !== undefined && role !== '')
    throw new Failure(`the role ${quote(role)} is that of ${other[0]} already`);
}

/** Of users that the key signed before it had a scope: nats-server refuses them. */
function warnOfOwnLimits({ store }: StoreContext, account: string, key: string, report: Report): void {
  for (const { name, jwt } of store.scanUsers(account).tokens) {
    const { iss, nats } = jwt.claims;
    if (iss !== key || (nats.subs === undefined && nats.data === undefined && nats.payload === undefined))
      continue;
    report.warn(
      `user ${quote(name)} has limits of its own and is refused until it is signed anew: "coffer identity edit user -K ${key}"`,
    );
  }
}
