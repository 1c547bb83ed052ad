import { accountMeant, decodeJwt, OperatorStore, openWorkplace, tokenIn, userMeant } from '@coffer/identity';
import { Failure } from '../failure.js';
import { accountTables, type TableOptions } from './describe-account.js';
import { activationTable, operatorTable, userTable } from './describe-tables.js';
import { readInput, writeOutput } from './files.js';
import { claimsJson, fieldJson } from './json.js';
import { maybeName, openStore, type StoreOptions } from './workplace.js';

/** `coffer identity describe`: tokens as tables, as JSON, or as they are. */

interface DescribeOptions extends StoreOptions, TableOptions {
  readonly name?: string;
  readonly account?: string;
  readonly file?: string;
  readonly json?: boolean;
  readonly raw?: boolean;
  readonly field?: string;
  readonly outputFile?: string;
}

export async function describeOperator(operand: string | undefined, options: DescribeOptions): Promise<void> {
  const { store } = openStore(options, maybeName(operand, options.name, 'operator'));
  const { text, claims } = store.operator();
  await show(text, options, () => operatorTable(claims, store));
}

export async function describeAccount(operand: string | undefined, options: DescribeOptions): Promise<void> {
  const context = openStore(options);
  const name = accountMeant(context, maybeName(operand, options.name, 'account'));
  const { text, claims } = context.store.account(name);
  await show(text, options, () => accountTables(claims, options));
}

export async function describeUser(operand: string | undefined, options: DescribeOptions): Promise<void> {
  const context = openStore(options);
  const account = accountMeant(context, options.account);
  const name = userMeant(context, account, maybeName(operand, options.name, 'user'));
  const { text, claims } = context.store.user(account, name);
  await show(text, options, () => userTable(claims));
}

export async function describeToken(operand: string | undefined, options: DescribeOptions): Promise<void> {
  const file = maybeName(operand, options.file, 'file');
  if (file === undefined) throw new Failure('say which file the token is in; - is standard input');
  const bytes = await readInput(file);
  const text = tokenIn(bytes);
  bytes.fill(0);
  await show(text, options, () => tableOf(text, options));
}

function tableOf(text: string, options: DescribeOptions): string {
  const jwt = decodeJwt(text);
  switch (jwt.kind) {
    case 'operator':
      return operatorTable(jwt.claims, storeOf(jwt.claims.name, options));
    case 'account':
      return accountTables(jwt.claims, options);
    case 'user':
      return userTable(jwt.claims);
    case 'activation':
      return activationTable(jwt.claims);
    default:
      throw new Failure('this token is about something else; --json shows what it says');
  }
}

/** The names of accounts, where the operator is one of ours. */
function storeOf(operator: string | undefined, options: StoreOptions): OperatorStore | undefined {
  const { stores } = openWorkplace(options).locations;
  const known = operator !== undefined && OperatorStore.list(stores).includes(operator);
  return known ? OperatorStore.open(`${stores}/${operator}`) : undefined;
}

async function show(token: string, options: DescribeOptions, table: () => string): Promise<void> {
  if (options.raw) return writeOutput(options.outputFile, token + (options.outputFile ? '' : '\n'));
  const { claims } = decodeJwt(token);
  const { field, json } = options;
  const text = field === undefined ? (json ? claimsJson(token) : table()) : fieldJson(claims, field);
  await writeOutput(options.outputFile, `${text}\n`);
}
