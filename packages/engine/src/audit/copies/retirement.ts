import type { AuditLog } from '../log.js';
import type { CopiesReader } from './reader.js';
import type { CopiesStream } from './stream.js';

export interface RetirementParts {
  readonly log: AuditLog;
  readonly stream: CopiesStream;
  readonly reader: CopiesReader;
}

/** Takes copies away that are old: what is gone is told by a signed line that is copied, too. */
export class CopiesRetirement {
  readonly #parts: RetirementParts;
  /** All entries that say what was retired are at or before this line. */
  #told: number;

  constructor(parts: RetirementParts) {
    this.#parts = parts;
    this.#told = parts.log.durable.seq;
  }

  /** The log has retired lines. */
  logRetired(): void {
    this.#told = this.#parts.log.durable.seq;
  }

  /** Takes away the messages of the log's own chain that hold nothing but what the log has not any more. */
  async own(chain: string, delivered: number): Promise<void> {
    const { log, stream, reader } = this.#parts;
    if (delivered < this.#told) return;
    const first = await log.first();
    const info = first > 1 ? await reader.info(chain) : undefined;
    if (!info || info.first >= first) return;
    await stream.purge(stream.layout.chain(chain), await reader.messageOf(chain, first));
  }

  /**
   * Takes away whole chains that got nothing since `then`: of instances whose disks were lost, and of logs that were put back.
   * An entry in this log says so first.
   */
  async ended(own: string, then: Date): Promise<void> {
    const { log, stream, reader } = this.#parts;
    for (const { chain, head, time } of await reader.chains()) {
      // Of the last message only the first line's time is known: no message gathers for a day.
      if (chain === own || time.getTime() > then.getTime() - DAY) continue;
      await log.note('retire-copies', { target: `${chain}:${head.seq}:${head.hash}` });
      await stream.purge(stream.layout.chain(chain), Number.MAX_SAFE_INTEGER);
    }
  }
}

const DAY = 24 * 60 * 60 * 1_000;
