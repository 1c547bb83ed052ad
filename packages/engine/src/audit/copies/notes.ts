import type { RandomPool } from '../../crypto/random-pool.js';
import { type CopyKeys, noteKeyOf } from './keys.js';
import { type CopiesStream, NotTaken } from './stream.js';

/** Two instances may write a note at one time; one of them looks again. */
const ATTEMPTS = 5;

/** The notes of keys in a stream of copies. */
export interface KeyNotes {
  readonly stream: CopiesStream;
  readonly keys: CopyKeys;
  readonly random: RandomPool;
  /** Id of the data key that the newest note is known to be complete under. */
  under?: number;
}

/** Reads all notes that this ring opens, so that the copies under older data keys do. */
export async function readNotes({ stream, keys }: Pick<KeyNotes, 'stream' | 'keys'>): Promise<void> {
  const subject = stream.layout.keys;
  const notes: Uint8Array[] = [];
  for (let seq = 1; ; ) {
    const note = await stream.next(subject, seq);
    if (!note) break;
    notes.push(note.payload);
    seq = note.seq + 1;
  }
  // A newer one holds the keys that older ones are under.
  for (const note of notes.reverse()) keys.learn(note);
}

/** Puts a note under the newest data key into the stream, if one is needed that is not there. */
export async function storeNotes(notes: KeyNotes): Promise<void> {
  const { stream, keys, random } = notes;
  const subject = stream.layout.keys;
  for (let attempt = 1; ; attempt++) {
    const { id } = keys.current;
    await readNotes(notes);
    const last = await stream.last(subject);
    const whole = last !== undefined && noteKeyOf(last.payload) === id;
    try {
      if (keys.older.length > 0 && !whole)
        await stream.publish(subject, '', keys.note(random), last?.seq ?? 0);
      notes.under = id;
      return;
    } catch (error) {
      if (!(error instanceof NotTaken) || error.why !== 'overtaken' || attempt === ATTEMPTS) throw error;
    }
  }
}
