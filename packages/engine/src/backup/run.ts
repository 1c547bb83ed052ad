import type { AuditSubject } from '../audit/entry.js';
import { counted } from '../counted.js';
import { CofferError } from '../errors.js';
import { accessDenied, codeOf, type Gate } from '../gate.js';
import type { BackupFacts } from './produce.js';

/** Closing it twice is harmless. */
interface Held {
  close(): void | Promise<void>;
}

/** One backup under way: what it holds on to, and how it ends, which is logged once, whoever ends it. */
export class BackupRun {
  readonly #asked: AuditSubject;
  readonly #gate: Gate;
  readonly #isAllowed: () => boolean;
  readonly #patience: number;
  readonly #held: Held[] = [];
  #error: unknown;
  #ended: Promise<void> | undefined;

  /**
   * @param isAllowed whether the caller still may; asked at each piece
   * @param patience how long a reader may take nothing, in milliseconds
   */
  constructor(asked: AuditSubject, gate: Gate, isAllowed: () => boolean, patience: number) {
    this.#asked = asked;
    this.#gate = gate;
    this.#isAllowed = isAllowed;
    this.#patience = patience;
  }

  /** Takes care of what is open: it is closed when the run ends. */
  hold<T extends Held>(held: T): T {
    this.#held.push(held);
    return held;
  }

  /** Passes the bytes on. The last of them leave when the end is in the log. */
  async *pass(bytes: AsyncGenerator<Uint8Array, BackupFacts>): AsyncGenerator<Uint8Array, void> {
    let held: Uint8Array | undefined;
    try {
      for (;;) {
        const next = await bytes.next().catch((error: unknown) => {
          // What was ended from outside fails because it was.
          throw this.#error ?? error;
        });
        if (this.#error) throw this.#error;
        if (!this.#isAllowed()) throw accessDenied();
        if (next.done) {
          await this.end(undefined, next.value);
          if (held) yield held;
          return;
        }
        if (held) yield* this.#offer(held);
        held = next.value;
      }
    } finally {
      await bytes.return(undefined as never);
    }
  }

  end(error: unknown, facts?: BackupFacts): Promise<void> {
    this.#ended ??= this.#end(error, facts);
    return this.#ended;
  }

  async *#offer(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
    const seconds = this.#patience / 1_000;
    const tired = new CofferError('abandoned', `the reader of the backup took nothing for ${seconds} s`);
    // Nobody waits for it: whoever asks for more gets the error.
    const timer = setTimeout(() => void this.end(tired).catch(() => undefined), this.#patience);
    timer.unref();
    try {
      yield bytes;
    } finally {
      clearTimeout(timer);
    }
    if (this.#error) throw this.#error;
  }

  async #end(error: unknown, facts: BackupFacts | undefined): Promise<void> {
    this.#error = error;
    for (const held of this.#held) await held.close();
    const { target } = this.#asked;
    const what = facts
      ? `whole, ${counted(facts.records, 'record')}, ${facts.bytes} bytes${damageOf(facts)}`
      : 'not whole';
    await this.#gate.ended(
      { ...this.#asked, target: `${target}: ${what}` },
      error === undefined ? undefined : codeOf(error),
    );
  }
}

function damageOf({ damaged: { records, auditLine } }: BackupFacts): string {
  const found = [
    ...(records > 0
      ? [`${counted(records, 'record')} of the store ${records === 1 ? 'does' : 'do'} not hold`]
      : []),
    ...(auditLine > 0 ? [`the audit log does not hold from line ${auditLine} on`] : []),
  ];
  return found.length > 0 ? `, made of damage: ${found.join(', ')}` : '';
}
