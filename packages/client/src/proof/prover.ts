import { randomUUID } from 'node:crypto';
import { Credentials } from './credentials.js';
import { signProof } from './proof.js';

/** Both the server's clock and ours may be wrong: a proof of ours is neither near its end nor near the longest time. */
const LIFETIME_SECONDS = 45;
const LEAST_SECONDS_LEFT = 15;

/** What an attempt to send a request is, to a {@link Prover}. */
export interface Attempt {
  readonly method: string;
  readonly path: string;
  readonly body?: Uint8Array | undefined;
  /** A change's operation id; absent for what only reads. */
  readonly operation?: string | undefined;
}

/** Proves who sends a request: of a change anew for every attempt, of what only reads by one proof for half a minute. */
export class Prover {
  readonly #credentials: Credentials;
  readonly #audience: string;
  #reading: { readonly proof: string; readonly expiresAt: number } | undefined;

  /**
   * @param creds as {@link Credentials} takes them
   * @param audience as `audienceOf` gives it
   * @throws CofferClientError `invalid_argument`
   */
  constructor(creds: Uint8Array, audience: string) {
    this.#audience = audience;
    this.#credentials = new Credentials(creds);
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
