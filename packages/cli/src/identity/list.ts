import { accountMeant, OperatorStore, openWorkplace, readCurrentContext } from '@coffer/identity';
import { paint, print, printJson } from '../output.js';
import { Table } from './table.js';
import { openStore, type StoreOptions } from './workplace.js';

/** `coffer identity list operators|accounts|users`. */

interface ListOptions extends StoreOptions {
  readonly operator?: string;
  readonly account?: string;
  readonly json?: boolean;
}

interface Entry {
  readonly name: string;
  /** What its token says that it is called, and its key. */
  readonly claims: () => { readonly name?: string | undefined; readonly sub: string };
}

export async function listOperators(options: ListOptions): Promise<void> {
  const { stores, config } = openWorkplace(options).locations;
  const names = OperatorStore.list(stores);
  const entries = names.map((name) => ({
    name,
    claims: () => OperatorStore.open(`${stores}/${name}`).operator().claims,
  }));
  await show('Operators', entries, readCurrentContext(config).operator, options);
}

export async function listAccounts(options: ListOptions): Promise<void> {
  const { store, defaultAccount } = openStore(options, options.operator);
  const entries = store.accountNames().map((name) => ({ name, claims: () => store.account(name).claims }));
  await show('Accounts', entries, defaultAccount, options);
}

export async function listUsers(options: ListOptions): Promise<void> {
  const context = openStore(options, options.operator);
  const account = accountMeant(context, options.account);
  const { store } = context;
  const entries = store
    .userNames(account)
    .map((name) => ({ name, claims: () => store.user(account, name).claims }));
  await show('Users', entries, undefined, options);
}

async function show(
  title: string,
  entries: readonly Entry[],
  current: string | undefined,
  options: ListOptions,
): Promise<void> {
  const rows = entries.map(read);
  if (options.json) {
    return printJson(
      rows.map(({ name, key, problem }) => ({ name, public_key: key, ...(problem ? { problem } : {}) })),
    );
  }
  const table = rows.length === 0 ? new Table(title) : new Table(title, 'Name', 'Public Key');
  if (rows.length === 0) table.row('No entries defined');
  for (const { name, shown, key, problem } of rows) {
    table.row(shown, problem === undefined ? (key ?? '') : `error loading jwt - ${problem}`);
    if (name === current) table.highlight((text) => paint('bold', text));
  }
  await print(table.toString());
}

function read({ name, claims }: Entry): {
  readonly name: string;
  readonly shown: string;
  readonly key?: string;
  readonly problem?: string;
} {
  try {
    const found = claims();
    return { name, shown: found.name === name ? name : `${name} (${found.name ?? ''})`, key: found.sub };
  } catch (error) {
    return { name, shown: name, problem: (error as Error).message };
  }
}
