import {
  accountFindings,
  accountMeant,
  decodeJwt,
  type Finding,
  findingsIn,
  operatorFindings,
  userFindings,
} from '@coffer/identity';
import { Failure, isForPeople } from '../failure.js';
import { print, printJson } from '../output.js';
import { quote } from '../quote.js';
import { readInput } from './files.js';
import { Table } from './table.js';
import { openStore, type StoreOptions } from './workplace.js';

/** `coffer identity validate`. */

interface ValidateOptions extends StoreOptions {
  readonly account?: string;
  readonly allAccounts?: boolean;
  readonly file?: string;
  readonly json?: boolean;
}

interface Checked {
  readonly title: string;
  readonly findings: readonly Finding[];
}

export async function validate(options: ValidateOptions): Promise<void> {
  const { account, allAccounts, file } = options;
  if ([account, allAccounts, file].filter(Boolean).length > 1) {
    throw new Failure('say one of --account, --all-accounts and --file');
  }
  const checked = file === undefined ? checkStore(options) : await checkFile(file);
  if (options.json) await printJson(checked);
  else for (const each of checked) await print(table(each));
  if (checked.some(({ findings }) => findings.some(({ level }) => level === 'error'))) {
    throw new Failure('validation found errors');
  }
}

function checkStore({ account, allAccounts, ...options }: ValidateOptions): Checked[] {
  const context = openStore(options);
  const { store, defaultAccount } = context;
  const some = account === undefined && defaultAccount === undefined ? [] : [accountMeant(context, account)];
  const found = findingsIn(context, allAccounts ? store.accountNames() : some);
  return [
    { title: `Operator ${quote(store.name)}`, findings: found.operator },
    ...found.accounts.map(({ name, findings }) => ({ title: `Account ${quote(name)}`, findings })),
  ];
}

/** Tokens, one a line; of what nsc packs, behind the bar. */
async function checkFile(file: string): Promise<Checked[]> {
  const text = (await readInput(file)).toString('latin1');
  const lines = text.split('\n').map((line) => line.slice(line.indexOf('|') + 1).trim());
  return lines.flatMap((line, index) => (line === '' ? [] : checkLine(line, index + 1)));
}

function checkLine(line: string, number: number): Checked {
  try {
    return checkToken(line);
  } catch (error) {
    if (!isForPeople(error)) throw error;
    return { title: `Line ${number}`, findings: [{ level: 'error', text: error.message }] };
  }
}

function checkToken(token: string): Checked {
  const jwt = decodeJwt(token);
  const { name = '', sub } = jwt.claims;
  const findings =
    jwt.kind === 'operator'
      ? operatorFindings(jwt.claims)
      : jwt.kind === 'account'
        ? accountFindings(jwt.claims)
        : jwt.kind === 'user'
          ? userFindings(jwt.claims)
          : [];
  return { title: `${sub} ${quote(name)}`, findings };
}

function table({ title, findings }: Checked): string {
  if (findings.length === 0) return new Table(title).row('No issues found').toString();
  const shown = new Table(title, '#', ' ', 'Description');
  for (const [index, { level, text }] of findings.entries()) {
    shown.row(String(index + 1), level === 'error' ? '!' : '', text);
  }
  return shown.toString();
}
