import { type Address, audienceOf } from '../address.js';
import { CofferClientError, invalid } from '../errors.js';
import { noCreds } from '../proof/no-creds.js';
import type { Attempt, Prover } from '../proof/prover.js';

/** As the options of a client have it. */
export interface CredentialOptions {
  readonly token?: string | (() => string | Promise<string>) | undefined;
  readonly creds?: string | Uint8Array | undefined;
  readonly audience?: string | undefined;
}

/** What says to the server who asks. */
export class Credential {
  readonly #basic: string | undefined;
  readonly #token: CredentialOptions['token'];
  readonly #creds: Buffer | undefined;
  readonly #audience: string;
  #prover: Promise<Prover> | undefined;

  /** @throws CofferClientError `invalid_argument`; for creds that only look like some, {@link authorize} does */
  constructor({ token, creds, audience }: CredentialOptions, { basic, display, endpoint }: Address) {
    if (token !== undefined && creds !== undefined) throw invalid('give either a token or creds, not both');
    if (token !== undefined && typeof token !== 'function' && !isToken(token)) {
      throw invalid('a token is printable ASCII without white space');
    }
    if (creds !== undefined && audience === undefined && 'socketPath' in endpoint) {
      throw invalid(
        'creds show a URL who you are, and a Unix socket has none: give the URL of its server as the audience',
      );
    }
    this.#basic = basic;
    this.#token = token;
    this.#audience = creds === undefined ? '' : audienceOf(audience ?? display);
    this.#creds = creds === undefined ? undefined : Buffer.from(creds);
    if (this.#creds?.includes('---') === false) throw noCreds();
  }

  /** Without it, the server is told nothing. */
  get given(): boolean {
    return (this.#creds ?? this.#token ?? this.#basic) !== undefined;
  }

  /**
   * The `Authorization` of a request that is to be sent now.
   *
   * @throws CofferClientError `invalid_argument` for creds that are none, `no_token` when the function that gives the token fails,
   *   or gives none
   */
  async authorize(attempt: Attempt): Promise<string | undefined> {
    if (this.#creds) {
      this.#prover ??= this.#makeProver(this.#creds);
      return `Bearer ${(await this.#prover).prove(attempt)}`;
    }
    if (this.#token === undefined) return this.#basic;
    if (typeof this.#token === 'string') return `Bearer ${this.#token}`;
    return `Bearer ${await tokenFrom(this.#token)}`;
  }

  wipe(): void {
    this.#creds?.fill(0);
    this.#prover?.then((prover) => prover.wipe()).catch(() => {});
  }

  async #makeProver(creds: Buffer): Promise<Prover> {
    // Most programs have a token, and do not load it.
    const { Prover } = await import('../proof/prover.js');
    try {
      return new Prover(creds, this.#audience);
    } finally {
      creds.fill(0);
    }
  }
}

async function tokenFrom(give: () => unknown): Promise<string> {
  let token: unknown;
  try {
    token = await give();
  } catch (thrown) {
    if (thrown instanceof CofferClientError && thrown.code === 'no_token') throw thrown;
    throw new CofferClientError('no_token', 'the function that gives the token failed', { thrown });
  }
  if (isToken(token)) return token;
  throw new CofferClientError(
    'no_token',
    'the function that gives the token gave none: one is printable ASCII without white space',
  );
}

export const isToken = (value: unknown): value is string =>
  typeof value === 'string' && /^[\x21-\x7e]+$/.test(value);
