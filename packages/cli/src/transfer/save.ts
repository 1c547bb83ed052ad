import type { Client, SecretInfo } from '@coffer/client';
import { during, isClientError } from '../failure.js';
import { attemptEach } from './attempts.js';
import type { Outcome } from './outcome.js';

/** A value that is to be a secret's newest. */
export interface Item {
  readonly name: string;
  /** The bytes, of which `saveAll` wipes its copy. Rejects with a Failure if they cannot be had. */
  read(): Promise<Uint8Array>;
}

export interface SaveOptions {
  readonly dryRun?: boolean;
  readonly activate?: boolean;
}

/**
 * Puts each value, and with `activate` activates its version. An equal value makes no new version, so that all of it
 * may be repeated. A dry run compares with the newest version, which reveals that to us.
 */
export async function saveAll(
  client: Client,
  items: readonly Item[],
  options: SaveOptions,
): Promise<Outcome[]> {
  return attemptEach(items, async (item) => {
    const value = await item.read();
    try {
      return await (options.dryRun ? foresee : save)(client, item.name, value, options.activate ?? false);
    } finally {
      value.fill(0);
    }
  });
}

/** What there is of a secret; undefined if there is none. */
export async function infoOf(client: Client, name: string): Promise<SecretInfo | undefined> {
  try {
    return await client.info(name);
  } catch (error) {
    if (isClientError(error) && error.code === 'not_found') return undefined;
    throw error;
  }
}

async function save(client: Client, name: string, value: Uint8Array, activate: boolean): Promise<Outcome> {
  const before = await infoOf(client, name);
  const version = await client.put(name, value);
  const isNew = before === undefined || !before.versions.includes(version);
  const active = before?.activeVersion ?? version;
  if (activate && active !== version) {
    await during(`saved as version ${version}, but not activated`, client.activate(name, version));
  }
  return told(
    { name, version: `version ${version}`, known: before !== undefined, isNew, activate },
    active,
    version,
  );
}

async function foresee(client: Client, name: string, value: Uint8Array, activate: boolean): Promise<Outcome> {
  const before = await infoOf(client, name);
  if (before === undefined) return { name, outcome: 'created', detail: 'version 1' };
  const newest = Math.max(...before.versions);
  const { value: known } = await client.get(name, { version: newest });
  const isNew = !Buffer.from(known.buffer).equals(value);
  known.fill(0);
  const version = isNew ? 'a new version' : `version ${newest}`;
  return told({ name, version, known: true, isNew, activate }, before.activeVersion, isNew ? 0 : newest);
}

function told(
  saved: { name: string; version: string; known: boolean; isNew: boolean; activate: boolean },
  active: number,
  version: number,
): Outcome {
  const { name, known, isNew, activate } = saved;
  if (!known) return { name, outcome: 'created', detail: saved.version };
  if (active === version)
    return { name, outcome: isNew ? 'changed' : 'unchanged', detail: `${saved.version} is active` };
  return activate
    ? { name, outcome: 'changed', detail: `${saved.version} is active, in place of ${active}` }
    : {
        name,
        outcome: isNew ? 'changed' : 'unchanged',
        detail: `${saved.version} waits, ${active} is active`,
        waits: true,
      };
}
