import { randomUUID } from 'node:crypto';

import { SERVER } from '../caller.js';
import type { Catalog } from '../catalog.js';
import type { Gate } from '../gate.js';
import type { Head, VersionEntry } from '../head.js';
import { addNumber } from '../number-set.js';
import type { Secrets } from '../secrets.js';

/** More versions of one secret are dropped by several changes. */
const DROPPED_AT_ONCE = 256;

export interface PruneContext {
  readonly catalog: Catalog;
  readonly gate: Gate;
  readonly secrets: Secrets;
}

/**
 * Deletes versions of one secret in one change, which is audited as the server's own. Their numbers are not used again.
 *
 * @param choose is asked about the newest state, while nobody else changes the secret; the active version stays whatever it says
 * @returns how many were deleted
 * @throws CofferError as a change does
 */
export async function prune(
  { catalog, gate, secrets }: PruneContext,
  name: string,
  choose: (head: Head) => readonly number[],
): Promise<number> {
  const made = await secrets.alone(name, async () => {
    const before = catalog.heads.live(name);
    if (!before) return undefined;
    const { head } = before;
    const numbers = choose(head)
      .filter((number) => number !== head.active)
      .slice(0, DROPPED_AT_ONCE);
    if (numbers.length === 0) return undefined;
    const operation = randomUUID();
    const target = `versions ${inRanges(numbers)}`;
    return gate.change({ caller: SERVER, action: 'prune', secret: name, operation, target }, async () => {
      const added = { id: operation, by: SERVER.principals[0].id, request: '', result: 0, given: false };
      const operations = gate.remember(head.operations, added);
      const dropped = numbers.map((number) => (head.versions.get(number) as VersionEntry).recordId);
      const next = { ...without(head, numbers), operations };
      await catalog.commit(before, before.generation + 1, { head: next, dropped });
      return numbers.length;
    });
  });
  await made?.settle();
  return made?.result ?? 0;
}

function without(head: Head, numbers: readonly number[]): Head {
  const versions = new Map(head.versions);
  for (const number of numbers) versions.delete(number);
  return { ...head, versions, deleted: numbers.reduce(addNumber, head.deleted) };
}

/** `1-3,7` */
const inRanges = (numbers: readonly number[]): string =>
  numbers
    .reduce(addNumber, [])
    .map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`))
    .join(',');
