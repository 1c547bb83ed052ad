import { readFileSync } from 'node:fs';
import type { Client } from '@coffer/client';
import { type ConnectionOptions, withClient, withSource } from '../connection.js';
import { during, Failure, isClientError, systemReason } from '../failure.js';
import { note } from '../output.js';
import { displayName } from '../quote.js';
import { clientSource, copyAll } from '../transfer/copy.js';
import { type Entry, parseDotenv } from '../transfer/dotenv.js';
import { findFiles, readSecretFile } from '../transfer/folder.js';
import { type ReportOptions, report } from '../transfer/outcome.js';
import { type SaveOptions, saveAll } from '../transfer/save.js';
import { matching } from '../transfer/select.js';
import { readStandardInput } from '../value.js';

/** The commands that bring many secrets in at once. */

export type ImportOptions = ConnectionOptions & SaveOptions & ReportOptions & { readonly prefix?: string };

export async function importEnv(file: string, options: ImportOptions): Promise<void> {
  const entries = await readEntries(file);
  const dollars = entries.filter(({ dollar }) => dollar).map(({ key }) => key);
  if (dollars.length > 0) {
    await note(`"$" is kept as it stands, nothing is expanded, in ${dollars.join(', ')}`);
  }
  const items = entries.map(({ key, value }) => ({
    name: (options.prefix ?? '') + key,
    read: async () => value,
  }));
  try {
    await report(await withClient(options, (client) => saveAll(client, items, options)), options);
  } finally {
    for (const { value } of entries) value.fill(0);
  }
}

export async function importDir(path: string, options: ImportOptions): Promise<void> {
  const items = (await findFiles(path)).map((found) => ({
    name: (options.prefix ?? '') + found.name,
    read: async () => {
      if ('problem' in found) throw new Failure(found.problem);
      return readSecretFile(found.path);
    },
  }));
  await report(await withClient(options, (client) => saveAll(client, items, options)), options);
}

export type ImportSetecOptions = ConnectionOptions &
  ReportOptions & {
    readonly from?: string;
    readonly fromTokenFile?: string;
    readonly fromCa?: string;
    readonly secrets?: readonly string[];
    readonly activate?: boolean;
  };

/**
 * `--from` names the source, and `-s` the target, as it does everywhere. Without `--from`, `-s` names the source, as
 * setec's users write it, if a setec server answers there; the target is then COFFER_SERVER's.
 */
export async function importSetec(options: ImportSetecOptions): Promise<void> {
  const { from = options.server, dryRun = false, activate = false, secrets: patterns = [] } = options;
  if (from === undefined) {
    throw new Failure(
      'which setec server shall be read? --from URL names it, and -s the server that takes the secrets',
    );
  }
  const target =
    options.from === undefined
      ? { ...options, server: process.env.COFFER_SERVER || DEFAULT_SERVER }
      : options;
  const outcomes = await withSource({ ...options, from }, async (source) => {
    if (options.from === undefined) await checkItIsSetec(source);
    return withClient(target, async (client) => {
      await note(`From ${displayName(source.server)} to ${displayName(client.server)}`);
      const secrets = (await during('failed to list the secrets to copy', source.list())).filter(
        matching(patterns),
      );
      if (secrets.length === 0 && patterns.length > 0) {
        throw new Failure('nothing to copy: the source shows no secret with such a name');
      }
      return copyAll(secrets, { source: clientSource(source, 'source'), target: client, dryRun, activate });
    });
  });
  await report(outcomes, options);
}

const DEFAULT_SERVER = 'http://127.0.0.1:2633';

/** Whoever forgot `--from` must not have a coffer server copied to another one. */
async function checkItIsSetec(source: Client): Promise<void> {
  const answers = await source.whoami().then(
    () => true,
    (error) => isClientError(error) && error.code === 'unauthenticated',
  );
  if (answers) {
    throw new Failure(
      `${source.server} is a coffer server, and -s names the server that takes the secrets: name the other with --from URL`,
    );
  }
}

async function readEntries(file: string): Promise<Entry[]> {
  const bytes = file === '-' ? await readStandardInput() : readFileOf(file);
  try {
    return parseDotenv(bytes, file === '-' ? 'standard input' : file);
  } finally {
    bytes.fill(0);
  }
}

function readFileOf(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Failure(`cannot read ${path}: ${systemReason(error)}`);
  }
}
