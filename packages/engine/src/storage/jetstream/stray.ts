import type { JetStreamManager } from '@nats-io/jetstream';
import { Regression } from './admission.js';
import { cameTrue, type Stray } from './beside.js';
import { unavailable } from './commit-errors.js';
import { lastNote } from './continuity.js';
import { each } from './each.js';
import { type Layout, token } from './layout.js';
import type { MessageSeal } from './message-seal.js';
import { entryOf, unsealed } from './messages.js';
import { parseAlarm, parsedNote } from './notes.js';

export interface StrayOptions {
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly seal: MessageSeal;
  /** As of {@link Continuity}. */
  readonly confirmed: (look: () => Promise<void>) => Promise<void>;
  /** @throws where a heal has decided since */
  readonly requireSame: () => Promise<unknown>;
  /** Whether a head is in use, of which the stream has nothing. */
  readonly isInUse: (head: Uint8Array) => boolean;
}

/**
 * A record and its head come as one batch, so that who reads it has that head, or finds in the stream what has replaced it. Where that
 * does not name it, the change was refused: somebody has overheard the record, and put it there by itself.
 *
 * @throws Regression for such a one; what `requireSame` does; CofferError `unavailable` where it has to be read again,
 *   `tampered`; what nats.js does
 */
export async function requireCameTrue(strays: readonly Stray[], options: StrayOptions): Promise<void> {
  const { manager, layout, confirmed, requireSame } = options;
  const groups = new Map<string, Stray[]>();
  for (const one of strays) {
    const id = token(one.beside.head);
    const group = groups.get(id);
    if (group) group.push(one);
    else groups.set(id, [one]);
  }
  const look = () => each([...groups.values()], (group) => requireHead(group, options));
  try {
    await confirmed(look);
  } catch (error) {
    if (!(error instanceof Regression)) throw error;
    const alarm = await lastNote(manager, layout.stream, layout.alarm);
    if (parsedNote(alarm?.data, parseAlarm)?.healer) throw unavailable('it is being healed');
    await requireSame();
    throw error;
  }
}

/** @param group of one head */
async function requireHead(
  group: readonly Stray[],
  { manager, layout, seal, isInUse }: StrayOptions,
): Promise<void> {
  const { stream } = layout;
  const [first] = group;
  if (!first) return;
  const subject = layout.record(first.beside.head);
  const found = await manager.streams.getMessage(stream, { last_by_subj: subject });
  if (found && seal.isGood(subject, found.header) === false) throw unsealed(found.seq);
  if (!found && !isInUse(first.beside.head)) return;
  const head = found && entryOf(found.seq, found.header);
  for (const one of group) {
    if (head && cameTrue(head, one)) continue;
    const last = await lastNote(manager, stream, layout.record(one.key));
    if (last?.sequence !== one.revision) throw unavailable('what was read was replaced meanwhile');
    if (!head) {
      throw new Regression(
        'missing',
        `the record to which the one at sequence ${one.revision} belongs has gone from the stream`,
      );
    }
    throw new Regression(
      'fork',
      `the record at sequence ${one.revision} was written with a change that did not come true: somebody has put it there again`,
    );
  }
}
