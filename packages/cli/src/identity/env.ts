import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  OperatorStore,
  openContext,
  openWorkplace,
  readCurrentContext,
  writeCurrentContext,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { print } from '../output.js';
import { quote } from '../quote.js';
import { Table } from './table.js';
import { type StoreOptions, shownPath } from './workplace.js';

/** `coffer identity env`: where everything is, and what is meant where nothing is named. */

type EnvOptions = StoreOptions & {
  readonly store?: string;
  readonly operator?: string;
  readonly account?: string;
};

export async function env(options: EnvOptions): Promise<void> {
  if (options.store !== undefined || options.operator !== undefined || options.account !== undefined)
    choose(options);
  await print(table(options));
}

function choose(options: EnvOptions): void {
  const { locations } = openWorkplace(options);
  const stores = options.store === undefined ? locations.stores : resolve(options.store);
  const current = readCurrentContext(locations.config);
  const operators = OperatorStore.list(stores);
  if (options.store !== undefined && !existsSync(stores)) {
    throw new Failure(`there is no folder ${stores}: make it first, or look how it is written`);
  }
  const operator =
    options.operator ??
    known(current.operator, operators) ??
    (operators.length === 1 ? operators[0] : undefined);
  if (operator === undefined) {
    if (options.account !== undefined)
      throw new Failure('say which operator the account is of, with --operator');
    writeCurrentContext(locations.config, { store_root: stores, operator: '', account: '' });
    return;
  }
  const { store } = openContext({ ...options, dataDir: stores, operator });
  const accounts = store.accountNames();
  if (options.account !== undefined && !accounts.includes(options.account)) {
    throw new Failure(`there is no account ${quote(options.account)} under the operator ${quote(operator)}`);
  }
  const account =
    options.account ?? known(current.account, accounts) ?? (accounts.length === 1 ? accounts[0] : undefined);
  writeCurrentContext(locations.config, { store_root: stores, operator, account: account ?? '' });
}

const known = (name: string | undefined, names: readonly string[]): string | undefined =>
  name !== undefined && names.includes(name) ? name : undefined;

function table(options: EnvOptions): string {
  const { locations } = openWorkplace(options);
  const current = readCurrentContext(locations.config);
  const path = (text: string) => shownPath(text).slice(1, -1);
  const isSet = (name: string) => (process.env[name] ? 'Yes' : 'No');
  return new Table('NSC Environment', 'Setting', 'Set', 'Effective Value')
    .row('$NKEYS_PATH', isSet('NKEYS_PATH'), path(locations.keys))
    .row('$NSC_HOME', isSet('NSC_HOME'), path(resolve(locations.config, '..')))
    .row('Config', '', path(locations.config))
    .line()
    .row('From CWD', '', locations.here.operator === undefined ? 'No' : 'Yes')
    .row('Default Stores Dir', '', path(locations.stores))
    .row('Current Store Dir', '', path(locations.stores))
    .row('Current Operator', '', locations.here.operator ?? current.operator ?? '')
    .row('Current Account', '', locations.here.account ?? current.account ?? '')
    .toString();
}
