import { type IssuedToken, issuedBy, type KeyRecord, kindOfPublicKey, takeSnapshot } from '@coffer/identity';
import { Failure } from '../failure.js';
import { note, print, printJson } from '../output.js';
import { displayName, quote } from '../quote.js';
import { shownTime } from './flags.js';
import { Table } from './table.js';
import { openStore, type StoreOptions } from './workplace.js';

/** `issued-by KEY`. */
export async function issued(key: string, options: object): Promise<void> {
  const { json, ...folders } = options as StoreOptions & { readonly json?: boolean };
  if (kindOfPublicKey(key) === undefined) {
    throw new Failure(`${quote(key)} is no public key: "coffer identity list keys --all" shows them`);
  }
  const context = openStore(folders);
  const tokens = issuedBy(takeSnapshot(context), key);
  const record = context.ledger.record(key);
  const seedHere = context.keys.has(key);
  if (json) {
    await printJson({ key, seedHere, noted: record, tokens });
    return;
  }
  if (tokens.length === 0) await print(`${key} signed nothing that is here.`);
  else await print(tableOf(key, tokens));
  await note(
    [...(record ? [aboutKey(record)] : []), `Its seed is ${seedHere ? '' : 'not '}in the key folder.`].join(
      '\n',
    ),
  );
}

function tableOf(key: string, tokens: readonly IssuedToken[]): string {
  const table = new Table(
    `Issued by ${key}`,
    'Kind',
    'Name',
    'Account',
    'Subject',
    'Issued',
    'Expires',
    'State',
  );
  for (const { kind, name, account = '', subject, issuedAt, expiresAt, state } of tokens) {
    const where = kind === 'activation' ? (account === '' ? 'given away' : `in ${account}`) : account;
    table.row(kind, name, where, subject, shownTime(issuedAt), shownTime(expiresAt), state);
  }
  return table.toString();
}

function aboutKey({ use, operator, account, user, role, at, retired }: KeyRecord): string {
  const what = use === 'signing-key' ? 'a signing key' : use === 'identity' ? 'the own key' : 'a key';
  const owner = user
    ? ` of the user ${displayName(user)}`
    : account
      ? ` of the account ${displayName(account)}`
      : operator
        ? ` of the operator ${displayName(operator)}`
        : '';
  const scope = role ? ` with the role ${displayName(role)}` : '';
  const end = retired === undefined ? '' : `; it counts no more since ${retired}`;
  return `Coffer knows it since ${at} as ${what}${owner}${scope}${end}.`;
}
