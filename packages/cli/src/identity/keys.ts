import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type KeyPair, keyPairFromFile, openWorkplace } from '@coffer/identity';
import { Failure, systemReason } from '../failure.js';
import { counted } from '../numbers.js';
import { print, printJson } from '../output.js';
import { quote } from '../quote.js';
import { failForDamaged } from './damaged.js';
import { writeNew } from './files.js';
import { chosenKeys, damagedAmong, type KeyChoice, type ListedKey } from './key-list.js';
import { Table } from './table.js';
import { openStore, Report, type StoreOptions } from './workplace.js';

/** `coffer identity import keys`, `export keys` and `list keys`. */

type ImportOptions = StoreOptions & { readonly dir?: string; readonly recurse?: boolean };

export async function importKeys(options: ImportOptions): Promise<void> {
  const place = openWorkplace(options);
  const { dir = '.' } = options;
  const files = await keyFiles(dir, options.recurse === true);
  if (files.length === 0) throw new Failure(`there are no files that end in .nk in ${dir}`);
  const report = new Report();
  let failed = 0;
  for (const file of files) {
    const pair = readPair(file);
    if (pair === undefined) {
      report.warn(`${file} holds no seed, and was left out`);
      failed++;
      continue;
    }
    place.keys.store(pair);
    place.ledger.note({ key: pair.publicKey });
    report.ok(`${pair.publicKey} was added to the keystore`);
    pair.wipe();
  }
  report.settle();
  await report.print();
  if (failed > 0)
    throw new Failure(
      `${failed} of ${counted(files.length, 'file')} ${failed === 1 ? 'holds' : 'hold'} no seed`,
    );
}

function readPair(file: string): KeyPair | undefined {
  try {
    return keyPairFromFile(file);
  } catch {
    return undefined;
  }
}

async function keyFiles(folder: string, recurse: boolean): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: recurse, withFileTypes: true });
    const files = entries.filter((entry) => !entry.isDirectory() && entry.name.endsWith('.nk'));
    return files.map((entry) => join(entry.parentPath, entry.name)).sort();
  } catch (error) {
    throw new Failure(`cannot read ${folder}: ${systemReason(error)}`);
  }
}

type ExportOptions = StoreOptions &
  KeyChoice & {
    readonly dir?: string;
    readonly force?: boolean;
    readonly remove?: boolean;
    readonly includeJwts?: boolean;
  };

export async function exportKeys(options: ExportOptions): Promise<void> {
  const { dir = '.' } = options;
  const context = openStore(options);
  const chosen = chosenKeys(context, options);
  if (chosen.length === 0)
    throw new Failure('no keys match; "coffer identity list keys --all" shows what there is');
  const report = new Report();
  try {
    for (const { key, token } of chosen) {
      using pair = context.keys.read(key);
      if (pair === undefined) {
        report.warn(`skipped ${quote(key)} - no seed available`);
      } else {
        const seed = pair.seed();
        try {
          await writeNew(join(dir, `${key}.nk`), seed, options.force === true);
        } finally {
          seed.fill(0);
        }
        if (options.remove) context.keys.remove(key);
        report.ok(`${options.remove ? 'moved' : 'exported'} ${quote(key)}`);
        report.settle();
      }
      if (!options.includeJwts || token === undefined) continue;
      await writeNew(join(dir, `${key}.jwt`), Buffer.from(token), options.force === true);
      report.ok(`exported ${quote(`${key}.jwt`)}`);
      report.settle();
    }
    report.settle();
  } finally {
    await report.print();
  }
  await failForDamaged(damagedAmong(context, options), 'the keys that they name are left out');
}

type ListOptions = StoreOptions & KeyChoice & { readonly json?: boolean; readonly showSeeds?: boolean };

export async function listKeys(options: ListOptions): Promise<void> {
  const context = openStore(options);
  const chosen = chosenKeys(context, options);
  const seedOf = (key: string): string | undefined => {
    using pair = options.showSeeds ? context.keys.read(key) : undefined;
    return pair === undefined ? undefined : Buffer.from(pair.seed()).toString('latin1');
  };
  if (options.json) {
    const records = new Map(context.ledger.records().map((record) => [record.key, record]));
    await printJson(
      chosen.map(({ token: _, ...each }) => ({
        ...each,
        made: records.get(each.key)?.at,
        ...(options.showSeeds ? { seed: seedOf(each.key) } : {}),
      })),
    );
  } else if (chosen.length === 0) {
    await print('no keys matched query');
  } else {
    await print(options.showSeeds ? seedTable(chosen, seedOf) : keyTable(chosen));
  }
  const so = options.notReferenced
    ? 'keys that they name are among these'
    : 'the keys that they name are left out';
  await failForDamaged(damagedAmong(context, options), so);
}

const INDENT: Record<string, string> = { account: ' ', user: '  ' };
const indented = ({ kind, entity }: ListedKey): string =>
  (entity === '?' ? '' : (INDENT[kind] ?? '')) + entity;
const star = (value: boolean): string => (value ? '*' : '');

function keyTable(chosen: readonly ListedKey[]): string {
  const table = new Table('Keys', 'Entity', 'Key', 'Signing Key', 'Stored');
  for (const each of chosen) table.row(indented(each), each.key, star(each.signing), star(each.stored));
  const strange = chosen.some(({ entity }) => entity === '?');
  return (
    table.toString() + (strange ? '[?] unreferenced key - may belong to a different operator context\n' : '')
  );
}

function seedTable(chosen: readonly ListedKey[], seedOf: (key: string) => string | undefined): string {
  const table = new Table('Seeds Keys', 'Entity', 'Private Key', 'Signing Key');
  for (const each of chosen)
    table.seedRow(indented(each), seedOf(each.key) ?? `${each.key} [!]`, star(each.signing));
  return `${table}[ ! ] seed is not stored\n`;
}
