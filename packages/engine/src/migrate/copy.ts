import { CofferError } from '../errors.js';
import { HEADER_KEY, isHeadKey } from '../keys.js';
import type { Storage } from '../storage/storage.js';
import { compareRecords, type Difference, type Records } from './compare.js';

/**
 * The head of what is no store's: under it records come that mean nothing before their own heads do. It is gone when the copy is
 * whole; the engine has no such key.
 */
const COPYING_KEY = Buffer.from('z');
/** In one commit. */
const SIDES = 200;
const SIDES_BYTES = 2 * 1024 * 1024;

/** How much of a store is in another. */
export interface Copied {
  readonly records: number;
  readonly bytes: number;
}

/**
 * Makes the records of the target those of the source, but for the header: without it they are no store, and whoever opens it is
 * refused. What is there already stays, so that an interrupted copy goes on.
 *
 * @throws CofferError as {@link Storage.commit}; `conflict` if somebody else writes there
 */
export async function copyRecords(
  source: Records,
  target: Storage,
  onProgress: (records: number) => void = () => undefined,
): Promise<void> {
  let records = 0;
  for await (const part of compareRecords(source, target)) {
    const differences = part.differences.filter(
      ({ key }) => !HEADER_KEY.equals(key) && !COPYING_KEY.equals(key),
    );
    for (const group of groupsOf(differences.filter(({ key }) => !isHeadKey(key)))) {
      await target.commit({
        head: { key: COPYING_KEY, bytes: Buffer.from('copying') },
        expectedRevision: target.get(COPYING_KEY)?.revision ?? 0,
        put: group.flatMap((one) => (one.source ? [{ key: one.key, bytes: one.source.bytes }] : [])),
        remove: group.flatMap((one) => (one.source ? [] : [one.key])),
        // It is no store yet, whatever is there.
        divisible: true,
      });
    }
    await Promise.all(
      differences
        .filter(({ key }) => isHeadKey(key))
        .map((one) =>
          target.commit({
            head: { key: one.key, bytes: one.source?.bytes },
            expectedRevision: one.target?.revision ?? 0,
          }),
        ),
    );
    records += part.records;
    onProgress(records);
  }
  const { revision } = target.get(COPYING_KEY) ?? {};
  if (revision)
    await target.commit({ head: { key: COPYING_KEY, bytes: undefined }, expectedRevision: revision });
}

/**
 * Holds every record of one against the other's.
 *
 * @param except a record that only one of them has
 * @throws CofferError `io` if they differ
 */
export async function requireSame(source: Records, target: Records, except?: Uint8Array): Promise<Copied> {
  let records = 0;
  let bytes = 0;
  for await (const part of compareRecords(source, target)) {
    const [first] = part.differences.filter(({ key }) => !except || !key.equals(except));
    if (first) {
      throw new CofferError(
        'io',
        `the copy is not what was copied: the record ${first.key.toString('hex')} ${wordOf(first)}; the store stays where it was`,
      );
    }
    records += part.records;
    bytes += part.bytes;
  }
  return { records, bytes };
}

/** @param except a record that only one of them has */
export async function isSame(source: Records, target: Records, except?: Uint8Array): Promise<boolean> {
  for await (const { differences } of compareRecords(source, target)) {
    if (differences.some(({ key }) => !except || !key.equals(except))) return false;
  }
  return true;
}

const wordOf = ({ source, target }: Difference): string => {
  if (!target) return 'is missing in it';
  return source ? 'differs' : 'is only in it';
};

function* groupsOf(differences: readonly Difference[]): Generator<Difference[]> {
  let group: Difference[] = [];
  let bytes = 0;
  for (const one of differences) {
    group.push(one);
    bytes += one.source?.bytes.length ?? 0;
    if (group.length < SIDES && bytes < SIDES_BYTES) continue;
    yield group;
    group = [];
    bytes = 0;
  }
  if (group.length > 0) yield group;
}
