import { IdentityError } from '../errors.js';
import { createKeyPair, type KeyPair } from '../keys/key-pair.js';
import { changing, type StoreContext } from '../store/context.js';
import { StoreError } from '../store/errors.js';
import { issueTime, saveAccount, saveOperator } from '../store/save.js';
import { type AccountClaims, type Import, type OperatorClaims, signingKeysOf } from '../tokens/claims.js';
import { encodeJwt } from '../tokens/jwt.js';
import { ActivationLedger } from './activation-ledger.js';
import { renewCreds } from './renewed-creds.js';
import { type Rotation, RotationJournal } from './rotation-journal.js';
import { type PlannedUser, planRotation, type RotationPlan, type RotationRequest } from './rotation-plan.js';
import { type RotationReport, reportOf } from './rotation-report.js';

/**
 * Replaces a signing key: a new one joins it, everything that the old one signed is signed anew, and the old one goes last. So
 * at each moment all that is in the folder is valid, and a rotation that was killed goes on when it is run again.
 */
export interface RotationOptions extends RotationRequest {
  /** Changes nothing, and tells the same. */
  readonly dryRun?: boolean | undefined;
  /** Ends before the old key goes: run again without it to end the rotation. */
  readonly keepOld?: boolean | undefined;
  /** Deletes the seed of the old key at the end. */
  readonly deleteOldSeed?: boolean | undefined;
  /** Gives accounts of these names to nats-servers, as they stand in the folder then. */
  readonly push?: ((accounts: readonly string[]) => Promise<void>) | undefined;
  readonly now?: (() => Date) | undefined;
}

/** @throws StoreError as `planRotation`, `rotation_begun` for what went wrong after the first change */
export async function rotateSigningKey(
  context: StoreContext,
  options: RotationOptions,
): Promise<RotationReport> {
  if (options.dryRun) return reportOf(context, planRotation(context, options), options, undefined);
  return changing(context, async () => {
    const plan = planRotation(context, options);
    const journal = new RotationJournal(context.keys.folder);
    const rotation = begin(context, plan, journal);
    const report = reportOf(context, plan, options, rotation.new);
    using pair = newPair(context, rotation.new);
    const rotate = plan.of === 'account' ? rotateOfAccount : rotateOfOperator;
    await rotate(context, plan, pair, options).catch((error) => {
      throw error instanceof IdentityError ? halfWay(context, plan, error) : error;
    });
    if (!options.keepOld) {
      context.ledger.note({ key: plan.old, retired: now(options).toISOString() });
      journal.remove(rotation);
      if (options.deleteOldSeed) context.keys.remove(plan.old);
    }
    return report;
  });
}

function halfWay({ store }: StoreContext, { of, name, old }: RotationPlan, error: IdentityError): StoreError {
  const counts =
    of === 'operator'
      ? (store.operator().claims.nats.signing_keys ?? []).includes(old)
      : signingKeysOf(store.account(name).claims).has(old);
  const standing = counts
    ? 'the new key has joined, and the old one STILL COUNTS'
    : 'the old key is taken out here, and may still count where servers have not heard of it';
  return new StoreError(
    'rotation_begun',
    `${error.message}; the rotation is not at its end: ${standing}. Once that is mended, run it again to go on`,
    { cause: error },
  );
}

/** The key is written down before it is made, so that none is made twice and forgotten. */
function begin(
  { keys, ledger, store }: StoreContext,
  plan: RotationPlan,
  journal: RotationJournal,
): Rotation {
  // In use it cannot be made again: its seed is asked for then.
  if (plan.begun && (keys.has(plan.begun.new) || plan.joined)) return plan.begun;
  using pair = createKeyPair(plan.of);
  const rotation = { entity: plan.entity, old: plan.old, new: pair.publicKey };
  journal.write(rotation);
  ledger.note({
    key: pair.publicKey,
    use: 'signing-key',
    operator: store.name,
    ...(plan.of === 'account' ? { account: plan.name, role: plan.scope?.role } : {}),
  });
  keys.store(pair);
  return rotation;
}

function newPair({ keys }: StoreContext, key: string): KeyPair {
  const pair = keys.read(key);
  if (pair) return pair;
  throw new StoreError(
    'no_key',
    `the seed of the new key ${key} is not in ${keys.folder}: put it back there`,
  );
}

async function rotateOfAccount(
  context: StoreContext,
  plan: RotationPlan,
  pair: KeyPair,
  options: RotationOptions,
): Promise<void> {
  const { old, name, scope } = plan;
  const edit = (change: (keys: SigningKeys) => SigningKeys) =>
    editAccount(context, name, options, (claims) => {
      const keys = claims.nats.signing_keys ?? [];
      return { ...claims.nats, signing_keys: inOrder(change(keys)) };
    });
  const has = (key: string) => (context.store.account(name).claims.nats.signing_keys ?? []).some(is(key));
  if (!has(pair.publicKey)) {
    edit((keys) => [...keys, scope ? { ...scope, key: pair.publicKey } : pair.publicKey]);
  }
  // Also when it had joined before: whether servers have heard of it then is not known.
  if (has(old)) await options.push?.([name]);
  for (const user of plan.users) reissueUser(context, user, plan, pair, options);
  const holders = reissueActivations(context, plan, pair, options);
  const ledger = new ActivationLedger(context.keys.folder);
  for (const { claims } of plan.givenAway.filter((jwt) => jwt.claims.iss === old)) {
    ledger.renew(encodeJwt(claims, pair, { now: now(options) }));
  }
  if (holders.length > 0) await options.push?.(holders);
  if (options.keepOld) return;
  if (has(old)) edit((keys) => keys.filter((one) => !is(old)(one)));
  await options.push?.([name]);
}

type SigningKeys = NonNullable<AccountClaims['nats']['signing_keys']>;
const is = (key: string) => (entry: SigningKeys[number]) =>
  (typeof entry === 'string' ? entry : entry.key) === key;

/** As nats-io/jwt writes them. */
const inOrder = (keys: SigningKeys): SigningKeys => {
  const keyOf = (entry: SigningKeys[number]) => (typeof entry === 'string' ? entry : entry.key);
  return [...keys].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
};

async function rotateOfOperator(
  context: StoreContext,
  plan: RotationPlan,
  pair: KeyPair,
  options: RotationOptions,
): Promise<void> {
  const { store, keys } = context;
  const edit = (change: (keys: readonly string[]) => readonly string[]) => {
    const { claims } = store.operator();
    const signing_keys = [...change(claims.nats.signing_keys ?? [])];
    const nats = { ...claims.nats, signing_keys } as OperatorClaims['nats'];
    // Without -K and without the operator's own key, a signing key signs, but never the one that goes.
    const key = options.key ?? (keys.has(claims.sub) ? claims.sub : undefined);
    const stays = key ?? (signing_keys.includes(plan.old) ? undefined : pair.publicKey);
    saveOperator(context, { ...claims, nats }, { key: stays, now: issueTime(claims, now(options)) });
  };
  const has = (key: string) => store.operator().claims.nats.signing_keys?.includes(key);
  if (!has(pair.publicKey)) edit((all) => [...all, pair.publicKey].sort());
  for (const { name, jwt } of plan.accounts) {
    if (jwt.claims.iss !== plan.old) continue;
    store.writeAccount(name, encodeJwt(jwt.claims, pair, { now: issueTime(jwt.claims, now(options)) }));
  }
  if (plan.accounts.length > 0) await options.push?.(plan.accounts.map(({ name }) => name));
  if (!options.keepOld && has(plan.old)) edit((all) => all.filter((key) => key !== plan.old));
}

function reissueUser(
  context: StoreContext,
  { account, name, jwt }: PlannedUser,
  plan: RotationPlan,
  pair: KeyPair,
  options: RotationOptions,
): void {
  let token = jwt.text;
  if (jwt.claims.iss === plan.old) {
    token = encodeJwt(jwt.claims, pair, { now: now(options) });
    context.store.writeUser(account, name, token);
  }
  renewCreds(context, account, name, token);
}

/** Answers with the names of the accounts that were signed anew, since they hold an activation token. */
function reissueActivations(
  context: StoreContext,
  plan: RotationPlan,
  pair: KeyPair,
  options: RotationOptions,
): string[] {
  const stale = plan.activations.filter(({ jwt }) => jwt.claims.iss === plan.old);
  for (const holder of new Set(stale.map((one) => one.holder.name))) {
    const renewed = new Map(
      stale
        .filter((one) => one.holder.name === holder)
        .map(({ jwt }) => [jwt.text, encodeJwt(jwt.claims, pair, { now: now(options) })]),
    );
    const renew = (one: Import): Import => ({ ...one, token: renewed.get(one.token ?? '') ?? one.token });
    editAccount(context, holder, options, ({ nats }) => ({
      ...nats,
      imports: (nats.imports ?? []).map(renew),
    }));
  }
  // Also those that were signed before a rotation was killed, which may not have been pushed.
  return [...new Set(plan.activations.map((one) => one.holder.name))];
}

function editAccount(
  context: StoreContext,
  name: string,
  options: RotationOptions,
  change: (claims: AccountClaims) => AccountClaims['nats'],
): void {
  const { claims } = context.store.account(name);
  const { key } = options;
  const edited = { ...claims, nats: change(claims) };
  saveAccount(context, name, edited, { key, before: claims.iss, now: issueTime(claims, now(options)) });
}

const now = ({ now = () => new Date() }: RotationOptions): Date => now();
