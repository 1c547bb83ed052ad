import { keyOfText } from '../../bytes.js';
import { HEADER, LINEAGE, token } from './layout.js';
import { lineOf } from './lineage.js';
import type { Ancestor, Beside, ReplicaEntry, ReplicaLike, ReplicaWrite } from './replica-contract.js';
import { fingerprintOf } from './replica-rows.js';

/** What a record says of the head that it is written beside. */
export const besideHeader = ({ head, fingerprint }: Beside): readonly [name: string, value: string] => [
  HEADER.beside,
  `${token(head)}:${fingerprint}`,
];

const REMOVED = fingerprintOf(undefined);

const FORM = /^([\w-]+):([0-9a-f]{16})$/;

/** @returns undefined for what no instance writes */
export function parseBeside(text: string): Beside | undefined {
  const [, id = '', fingerprint = ''] = FORM.exec(text) ?? [];
  const head = keyOfText(id);
  return head.length > 0 && token(head) === id ? { head, fingerprint } : undefined;
}

/**
 * Whether the change came true with which a record was written, by the head that it was written beside: that one is it, or names it as
 * before it. Where so many followed that it names it no more, who read them one by one has looked.
 *
 * What is beside a head that was removed is in nobody's use.
 */
export function cameTrue(
  head: ReplicaEntry,
  { revision, lineage, beside }: Pick<Stray, 'revision' | 'lineage' | 'beside'>,
): boolean {
  if (head.removed) return true;
  const line = lineOf(head);
  // All removals are alike: that of an earlier life lies before what this record came to replace.
  const after = beside.fingerprint === REMOVED ? (lineage[0]?.revision ?? 0) : 0;
  const isIt = (one: Ancestor) => one.fingerprint === beside.fingerprint && one.revision > after;
  if (line.some(isIt)) return true;
  return line.length > LINEAGE && line.every((one) => one.revision > revision);
}

/** A record that came, and of which the head that is here does not say that it was written with it. */
export interface Stray extends Pick<ReplicaWrite, 'key' | 'revision' | 'lineage'> {
  readonly beside: Beside;
}

/**
 * @param writes to be written together: a head among them is as they leave it
 * @param replica of which the other heads are; without it nothing is known of them, and all is told that is beside one
 */
export function straysOf(
  writes: ReadonlyMap<string, { readonly key: Uint8Array; readonly known: ReplicaEntry }>,
  replica: Pick<ReplicaLike, 'entry'> | undefined,
): Stray[] {
  return [...writes.values()].flatMap(({ key, known: { revision, lineage, beside } }): Stray[] => {
    if (!beside) return [];
    const one = { key, revision, lineage, beside };
    const head = writes.get(token(beside.head))?.known ?? replica?.entry(beside.head);
    const isVouchedFor = head ? cameTrue(head, one) : replica !== undefined;
    return isVouchedFor ? [] : [one];
  });
}
