import {
  type GraphNode,
  graphOf,
  type IssuedToken,
  issuedBy,
  type KeyRecord,
  type Snapshot,
  type StoreContext,
  takeSnapshot,
} from '@coffer/identity';
import { note, print, printJson } from '../output.js';
import { displayName } from '../quote.js';
import { failForDamaged } from './damaged.js';
import { shownTime } from './flags.js';
import { keyMeant, shownKey } from './key-names.js';
import { Table } from './table.js';
import { openStore, type StoreOptions } from './workplace.js';

/** `issued-by KEY`. */
export async function issued(named: string, options: object): Promise<void> {
  const { json, longIds, ...folders } = options as StoreOptions & {
    readonly json?: boolean;
    readonly longIds?: boolean;
  };
  const context = openStore(folders);
  const snapshot = takeSnapshot(context);
  const key = keyMeant(named, knownKeys(context, snapshot));
  const tokens = issuedBy(snapshot, key);
  const record = context.ledger.record(key);
  const seedHere = context.keys.has(key);
  if (json) {
    await printJson({ key, seedHere, noted: record, tokens });
    return failForDamaged(snapshot.damaged, UNKNOWN);
  }
  if (tokens.length === 0) await print(`${key} signed nothing that is here.`);
  else await print(tableOf(key, tokens, longIds ?? false));
  await note(
    [...(record ? [aboutKey(record)] : []), `Its seed is ${seedHere ? '' : 'not '}in the key folder.`].join(
      '\n',
    ),
  );
  await failForDamaged(snapshot.damaged, UNKNOWN);
}

const UNKNOWN = 'whether the key signed what they held is not known';

/** All that the graph shows, and all of which coffer knows. */
function knownKeys({ ledger, keys }: StoreContext, snapshot: Snapshot): string[] {
  const keysIn = ({ key, children }: GraphNode): string[] => [key, ...children.flatMap(keysIn)];
  return [...keysIn(graphOf(snapshot)), ...ledger.records().map(({ key }) => key), ...keys.list()];
}

function tableOf(key: string, tokens: readonly IssuedToken[], longIds: boolean): string {
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
    table.row(kind, name, where, shownKey(subject, longIds), minute(issuedAt), minute(expiresAt), state);
  }
  return table.toString();
}

/** Without its seconds, so that a row fits a terminal. */
const minute = (time: number | undefined): string => shownTime(time).replace(/:\d\d UTC$/, 'Z');

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
