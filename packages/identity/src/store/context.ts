import { join } from 'node:path';
import { StoreError } from './errors.js';
import { KeyFolder } from './key-folder.js';
import { KeyLedger } from './ledger.js';
import {
  type Folders,
  type Locations,
  locate,
  readCurrentContext,
  type Surroundings,
  writeCurrentContext,
} from './locations.js';
import { withLock } from './lock.js';
import { OperatorStore } from './operator-store.js';

/** The keys and where everything is, whether or not there is an operator yet. */
export interface Workplace {
  readonly locations: Locations;
  readonly keys: KeyFolder;
  readonly ledger: KeyLedger;
}

/** An operator's store, and all it takes to change it. */
export interface StoreContext extends Workplace {
  readonly store: OperatorStore;
  /** The account that is meant where none is named, if it is clear which. */
  readonly defaultAccount: string | undefined;
}

export interface ContextOptions extends Folders, Surroundings {
  /** The operator's name, in place of the current one. */
  readonly operator?: string | undefined;
}

export function openWorkplace(options: ContextOptions = {}): Workplace {
  const locations = locate(options, options);
  return { locations, keys: new KeyFolder(locations.keys), ledger: new KeyLedger(locations.keys) };
}

/**
 * Opens the store of the operator that is meant: the one that is named, else the one in whose folder the working folder is,
 * else the current one of `nsc.json`, else the only one.
 *
 * @throws StoreError `no_store`, `damaged_store`
 */
export function openContext(options: ContextOptions = {}): StoreContext {
  const place = openWorkplace(options);
  const { stores, here, config, isCurrent } = place.locations;
  const current = isCurrent ? readCurrentContext(config) : {};
  const operators = OperatorStore.list(stores);
  const name = chosenOperator(options.operator ?? here.operator, current.operator, operators, stores);
  const store = OperatorStore.open(join(stores, name));
  const accounts = store.accountNames();
  const remembered = current.operator === name ? current.account : undefined;
  const account = (here.operator === name ? here.account : undefined) ?? remembered;
  return {
    ...place,
    store,
    defaultAccount: account && accounts.includes(account) ? account : onlyOne(accounts),
  };
}

function chosenOperator(
  named: string | undefined,
  current: string | undefined,
  operators: readonly string[],
  stores: string,
): string {
  if (named !== undefined) {
    if (operators.includes(named)) return named;
    throw new StoreError('no_store', `there is no operator ${JSON.stringify(named)} in ${stores}`);
  }
  if (current !== undefined && operators.includes(current)) return current;
  const only = onlyOne(operators);
  if (only !== undefined) return only;
  throw new StoreError(
    'no_store',
    operators.length === 0
      ? `there is no operator in ${stores} yet: add one, or say where the stores are`
      : `there are several operators in ${stores} and none is the current one: "coffer identity env --operator NAME" chooses ` +
          `one, of ${operators.join(', ')}`,
  );
}

/** The account that is named or, if none is, the one that is clear without. */
export function accountMeant(context: StoreContext, named: string | undefined): string {
  if (named !== undefined) {
    // Whether it can be read is for who reads it to tell.
    if (!context.store.hasAccount(named)) context.store.account(named);
    return named;
  }
  if (context.defaultAccount !== undefined) return context.defaultAccount;
  const several = context.store.accountNames().length > 0;
  throw new StoreError(
    'not_found',
    several
      ? `there are several accounts under the operator ${JSON.stringify(context.store.name)} and none is the current one: say ` +
          'which one is meant with --account, or for good with "coffer identity env --account"'
      : `there is no account under the operator ${JSON.stringify(context.store.name)} yet: add one`,
  );
}

/** The user that is named or, if none is, the only one. */
export function userMeant({ store }: StoreContext, account: string, named: string | undefined): string {
  const name = named ?? onlyOne(store.userNames(account));
  if (name !== undefined) {
    if (!store.hasUser(account, name)) store.user(account, name);
    return name;
  }
  const several = store.userNames(account).length > 0;
  throw new StoreError(
    'not_found',
    `the account ${JSON.stringify(account)} has ${several ? 'several users: say which one is meant' : 'no user yet: add one'}`,
  );
}

/**
 * Makes an operator and an account the current ones, for commands that name none, as nsc does; but not those of stores that a
 * flag names for this once.
 */
export function remember(
  { locations }: Workplace,
  current: { readonly operator: string; readonly account?: string | undefined },
): void {
  if (!locations.isCurrent) return;
  writeCurrentContext(locations.config, {
    store_root: locations.stores,
    operator: current.operator,
    account: current.account ?? '',
  });
}

/**
 * Runs a change while no other command of ours changes the same stores, after it has tidied up what a killed one left. Read
 * within it what it changes.
 */
export function changing<T>({ locations, keys }: Workplace, change: () => T | Promise<T>): Promise<T> {
  return withLock(locations.stores, () => {
    keys.removeDrafts();
    OperatorStore.removeUnfinished(locations.stores);
    return change();
  });
}

const onlyOne = <T>(items: readonly T[]): T | undefined => (items.length === 1 ? items[0] : undefined);
