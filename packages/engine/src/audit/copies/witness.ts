import type { AuditLog } from '../log.js';
import type { ChainEnd, CopiesReader } from './reader.js';

const EVERY_MS = 60_000;
/** How many others are looked at each time. */
const LOOKS = 16;

export interface WitnessParts {
  readonly log: AuditLog;
  readonly instance: string;
  readonly reader: CopiesReader;
  /** Default: a minute. */
  readonly everyMs?: number | undefined;
}

/**
 * Writes down now and then, in this instance's log, which last lines of other instances' were found among the copies, some of them
 * chosen by chance: `witness`, with `<chain>:<seq>:<hash>` of each in `target`, spaces between. So the end of a chain whose own
 * disk is lost cannot be removed unnoticed. Lines that only say so are passed over: idle instances do not go on telling one
 * another.
 */
export class Witness {
  readonly #parts: WitnessParts;
  readonly #seen = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;

  constructor(parts: WitnessParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#looking ??= this.look()
        .catch(() => undefined)
        .finally(() => {
          this.#looking = undefined;
        });
    }, this.#parts.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  /** Looks now. */
  async look(): Promise<void> {
    const { log, instance, reader } = this.#parts;
    const others = (await reader.names()).filter((chain) => !chain.startsWith(instance));
    const found: [string, ChainEnd][] = [];
    for (const chain of some(others)) {
      const end = await reader.end(chain);
      if (end && end.seq > 0 && end.told > (this.#seen.get(chain) ?? 0)) found.push([chain, end]);
    }
    if (found.length === 0) return;
    await log.note('witness', { target: found.map(([chain, end]) => formatLine(chain, end)).join(' ') });
    for (const [chain, { told }] of found) this.#seen.set(chain, told);
  }

  /** A look that is under way is not waited for: what it finds, the log does not take any more. */
  close(): void {
    clearInterval(this.#timer);
  }
}

const formatLine = (chain: string, { seq, hash }: ChainEnd): string => `${chain}:${seq}:${hash}`;

/** At most {@link LOOKS}, by chance. */
function some(chains: readonly string[]): string[] {
  const rest = [...chains];
  for (let at = 0; at < Math.min(LOOKS, rest.length); at++) {
    const other = at + Math.floor(Math.random() * (rest.length - at));
    [rest[at], rest[other]] = [rest[other] as string, rest[at] as string];
  }
  return rest.slice(0, LOOKS);
}
