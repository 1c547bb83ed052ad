import { SourceReason } from '../backend/source-reason.js';
import { SecretsError } from '../protocol/errors.js';

/** So many log-ins of one owner are refused, at one place and in all, before no other one is tried until the time is over. */
const BOUNDS = { owners: 1_000, atOnePlace: 10, ofOne: 100, forMs: 10_000 };

interface Refused {
  readonly until: number;
  readonly places: Map<string, number>;
  count: number;
  reason: string;
}

/**
 * The log-ins that Vault has refused of late, by whose they were: a host makes as many tokens as it likes, each of which is another
 * log-in, and the roles that it names are whatever it writes. What is kept of before is not in question.
 */
export class Refusals {
  readonly #bounds: typeof BOUNDS;
  readonly #owners = new Map<string, Refused>();

  constructor(bounds = BOUNDS) {
    this.#bounds = bounds;
  }

  /** @throws SecretsError `Unauthorized` where there were too many; as `logIn` */
  async unlessTooMany<T>(owner: string, place: string, logIn: () => Promise<T>): Promise<T> {
    const before = this.#of(owner);
    const { atOnePlace, ofOne } = this.#bounds;
    if (before && (before.count >= ofOne || (before.places.get(place) ?? 0) >= atOnePlace)) {
      const cause = new SourceReason(
        `Vault has refused too many log-ins of it to be asked again at once; ${before.reason}`,
      );
      throw new SecretsError('Unauthorized', '', { cause });
    }
    try {
      return await logIn();
    } catch (error) {
      if (error instanceof SecretsError && error.code === 'Unauthorized') this.#add(owner, place, error);
      throw error;
    }
  }

  #of(owner: string): Refused | undefined {
    const refused = this.#owners.get(owner);
    return refused !== undefined && performance.now() < refused.until ? refused : undefined;
  }

  #add(owner: string, place: string, { cause }: SecretsError): void {
    const { owners, forMs } = this.#bounds;
    const refused = this.#of(owner) ?? {
      until: performance.now() + forMs,
      places: new Map(),
      count: 0,
      reason: '',
    };
    refused.count++;
    refused.reason = `the last one: ${(cause as Error | undefined)?.message}`;
    refused.places.set(place, (refused.places.get(place) ?? 0) + 1);
    this.#owners.delete(owner);
    this.#owners.set(owner, refused);
    const [oldest] = this.#owners.keys();
    if (oldest !== undefined && this.#owners.size > owners) this.#owners.delete(oldest);
  }
}
