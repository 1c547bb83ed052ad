import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  CofferError,
  counted,
  type ErrorCode,
  parseRootKey,
  type RootKeySpec,
  type StoreState,
} from '@coffer/engine';
import type { ServerConfig } from '../config/config.js';
import { mebibytes } from './disk.js';
import { type Finding, ok, problem, reasonOf, warning } from './finding.js';
import { lookAtStore } from './store-look.js';

const DAY = 24 * 60 * 60 * 1000;
/** Data keys are to be changed now and then; NIST SP 800-57 speaks of one to two years. */
const OLD_KEY = 2 * 365 * DAY;
/** A rotation that has not ended by then waits for something. */
const LONG_ROTATION = DAY;
/** Of a quota: then a person should know. */
const NEARLY_ALL = 0.9;

export interface CheckedStore {
  readonly findings: readonly Finding[];
  /** As far as it could be told. */
  readonly state: StoreState | undefined;
  /** Why the root key does not open it. */
  readonly refused?: ErrorCode | undefined;
}

/** Whether the store can be read, by this root key, and the state of its keys. */
export async function checkStore(
  config: ServerConfig,
  env: Readonly<Record<string, string | undefined>>,
  { inUse, now }: { readonly inUse: boolean; readonly now: Date },
): Promise<CheckedStore> {
  const { stateDir, dev, storage } = config;
  const replica = storage.kind === 'jetstream';
  if (!existsSync(join(stateDir, 'store', 'data.mdb'))) {
    const none = replica ? 'there is no replica here yet' : 'there is none yet';
    return { findings: [ok('store', `${none}: the first start makes it`)], state: undefined };
  }
  const look = (rootKey: RootKeySpec | undefined) =>
    lookAtStore({ stateDir, development: dev, env, rootKey, inUse, replica });
  let state: StoreState | undefined;
  let found: Finding[] = [];
  let refused: ErrorCode | undefined;
  try {
    state = await look(usableRootKey(config));
  } catch (error) {
    refused = error instanceof CofferError ? error.code : 'io';
    // Of a root key that is not there the look at that has told.
    if (refused !== 'no_root_key') found = [problem('store', reasonOf(error))];
    // What it says without its keys is worth knowing still.
    state = await look(undefined).catch(() => undefined);
  }
  if (state === undefined) return { findings: found, state, refused };
  return {
    findings: [
      ...found,
      ...describeStore(state, { refused: found.length > 0, replica }),
      ...checkQuota(state, config),
      ...checkKeys(state, now),
    ],
    state,
    refused,
  };
}

/** A passphrase that a person must type is not asked for. */
export function usableRootKey({ rootKey }: ServerConfig): RootKeySpec | undefined {
  try {
    const spec = parseRootKey(rootKey);
    return spec.kind === 'passphrase' && spec.source.from === 'prompt' ? undefined : spec;
  } catch {
    return undefined;
  }
}

function describeStore(
  { storeId, format, upgradesTo, development, keys }: StoreState,
  { refused, replica }: { readonly refused: boolean; readonly replica: boolean },
): Finding[] {
  if (refused) return [];
  const upgrade =
    upgradesTo === undefined ? '' : ` (the next start brings it to ${upgradesTo}, after a backup)`;
  const what = `${storeId}, format ${format}${upgrade}${development ? ', for development' : ''}`;
  const opened = keys === undefined ? '; without its root key not looked into' : ', opened by the root key';
  return [ok('store', `${replica ? 'the replica of ' : ''}${what}${opened}`)];
}

function checkQuota({ usedBytes }: StoreState, { storage: { quotaBytes } }: ServerConfig): Finding[] {
  if (quotaBytes === undefined) return [];
  const used = `${mebibytes(usedBytes)} of ${mebibytes(quotaBytes)} (storage.quotaBytes) are used`;
  const mend = 'delete versions, or raise it';
  if (usedBytes >= quotaBytes) return [problem('quota', `${used}, so that no change is taken: ${mend}`)];
  return [usedBytes > NEARLY_ALL * quotaBytes ? warning('quota', `${used}: ${mend}`) : ok('quota', used)];
}

function checkKeys({ keys }: StoreState, now: Date): Finding[] {
  const newest = keys?.dataKeys.at(-1);
  if (keys === undefined || newest === undefined) return [];
  const age = now.getTime() - newest.createdAt.getTime();
  const since = `since ${newest.createdAt.toISOString().slice(0, 10)}`;
  const retiring = keys.dataKeys.length - 1;
  if (retiring > 0) {
    const under = `a rotation is under way ${since}: ${counted(retiring, 'older data key')} still in use`;
    return [
      age > LONG_ROTATION
        ? warning(
            'data keys',
            `${under}; it goes on while a server runs, "coffer keys list" shows how far it is`,
          )
        : ok('data keys', under),
    ];
  }
  const told = `key ${newest.id} ${since}`;
  return [
    age > OLD_KEY
      ? warning('data keys', `${told}: "coffer keys rotate" makes another one`)
      : ok('data keys', told),
  ];
}
