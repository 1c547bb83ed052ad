import { randomUUID } from 'node:crypto';
import { invalid } from '../errors.js';
import type { Address } from '../http/address.js';
import { Credentials } from './credentials.js';
import { audienceOf, signProof } from './proof.js';

/** Both the server's clock and ours may be wrong: a proof of ours is neither near its end nor near the longest time. */
const LIFETIME_SECONDS = 45;
const LEAST_SECONDS_LEFT = 15;

/** What an attempt to send a request is, to a {@link Prover}. */
export interface Attempt {
  readonly method: string;
  readonly path: string;
  readonly body?: Uint8Array;
  /** A change's operation id; absent for what only reads. */
  readonly operation?: string;
}

/**
 * @param creds as `Credentials` takes them
 * @param audience default the server's address
 * @throws CofferClientError `invalid_argument`
 */
export function proverFor(
  { display, endpoint }: Address,
  creds: string | Uint8Array,
  audience: string | undefined,
): Prover {
  if (audience === undefined && 'socketPath' in endpoint) {
    throw invalid(
      'creds show a URL who you are, and a Unix socket has none: give the URL of its server as the audience',
    );
  }
  return new Prover(new Credentials(creds), audienceOf(audience ?? display));
}

/** Proves who sends a request: of a change anew for every attempt, of what only reads by one proof for half a minute. */
export class Prover {
  readonly #credentials: Credentials;
  readonly #audience: string;
  #reading: { readonly proof: string; readonly expiresAt: number } | undefined;

  constructor(credentials: Credentials, audience: string) {
    this.#credentials = credentials;
    this.#audience = audience;
  }

  /** A proof for this attempt, which is to be sent now. */
  prove({ method, path, body = new Uint8Array(0), operation }: Attempt): string {
    const now = Date.now() / 1000;
    const content = { audience: this.#audience, expiresAt: Math.floor(now) + LIFETIME_SECONDS };
    if (operation !== undefined) {
      // The base path of an address is not in it: a proxy takes that away. The audience has it.
      const request = { method, path: path.replace(/\?.*$/, ''), body };
      return signProof(this.#credentials, { ...content, id: operation, request });
    }
    const left = (this.#reading?.expiresAt ?? 0) - now;
    // A clock that was set back makes it last too long.
    if (this.#reading === undefined || left < LEAST_SECONDS_LEFT || left > LIFETIME_SECONDS) {
      const proof = signProof(this.#credentials, { ...content, id: randomUUID() });
      this.#reading = { proof, expiresAt: content.expiresAt };
    }
    return this.#reading.proof;
  }

  /** Overwrites the key. */
  wipe(): void {
    this.#credentials.wipe();
    this.#reading = undefined;
  }
}
