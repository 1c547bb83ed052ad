import { HEADER, type Layout } from './layout.js';
import { isPrintOf, type MessageSeal, printOf } from './message-seal.js';
import type { Outgoing, RawMessage } from './messages.js';
import { encodeMark, type Mark, parseMark, unlessStrange } from './notes.js';

export interface MarkOptions {
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly instance: string;
}

/**
 * The mark with which a batch begins, sealed.
 *
 * @param heads of the batch
 * @param headers the server's own: what must be so for the batch to be stored
 * @returns none as long as there is no key, as for a store that is made: its first change is of the ring's record alone, which says
 *   itself what must be so
 */
export function markOf(
  { layout, seal, instance }: MarkOptions,
  commit: string,
  heads: readonly Outgoing[],
  headers: Outgoing['headers'] = [],
): readonly Outgoing[] {
  const data = encodeMark({ commit, heads: headsPrint(heads.map(printSaid)) });
  const mark = seal.sealIfKnown({ subject: layout.mark(instance), headers, data });
  return mark ? [mark] : [];
}

/** @returns undefined for what the instance has not sealed, which says nothing, and as long as there is no key to tell by */
export function sealedMark(seal: MessageSeal, message: RawMessage): Mark | undefined {
  const isSealed = seal.isGood(message.subject, message.headers) === true && isPrintOf(message);
  return isSealed ? unlessStrange(() => parseMark(message.data)) : undefined;
}

/** @param prints of the heads' bytes, in the batch's order */
export const headsPrint = (prints: readonly string[]): string => printOf(Buffer.from(prints.join()));

const printSaid = ({ headers }: Outgoing): string =>
  headers.find(([name]) => name === HEADER.print)?.[1] ?? '';
