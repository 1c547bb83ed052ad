import { CofferClientError, invalid } from '../errors.js';
import { type Attempt, type Prover, proverFor } from '../proof/prover.js';
import type { Address } from './address.js';

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
  readonly #prover: Prover | undefined;

  /** @throws CofferClientError `invalid_argument` */
  constructor({ token, creds, audience }: CredentialOptions, address: Address) {
    if (token !== undefined && creds !== undefined) {
      throw invalid('give either a token or creds, not both');
    }
    if (token !== undefined && typeof token !== 'function' && !isToken(token)) {
      throw invalid('a token is printable ASCII without white space');
    }
    this.#basic = address.basic;
    this.#token = token;
    this.#prover = creds === undefined ? undefined : proverFor(address, creds, audience);
  }

  /** Without it, the server is told nothing. */
  get given(): boolean {
    return this.#prover !== undefined || (this.#token ?? this.#basic) !== undefined;
  }

  /**
   * The `Authorization` of a request that is to be sent now.
   *
   * @throws CofferClientError `no_token` when the function that gives the token fails, or gives none
   */
  async authorize(attempt: Attempt): Promise<string | undefined> {
    if (this.#prover) return `Bearer ${this.#prover.prove(attempt)}`;
    if (this.#token === undefined) return this.#basic;
    if (typeof this.#token === 'string') return `Bearer ${this.#token}`;
    return `Bearer ${await tokenFrom(this.#token)}`;
  }

  wipe(): void {
    this.#prover?.wipe();
  }
}

async function tokenFrom(give: () => unknown): Promise<string> {
  let token: unknown;
  try {
    token = await give();
  } catch (cause) {
    throw new CofferClientError('no_token', 'the function that gives the token failed', { cause });
  }
  if (isToken(token)) return token;
  throw new CofferClientError(
    'no_token',
    'the function that gives the token gave none: one is printable ASCII without white space',
  );
}

const isToken = (value: unknown): value is string =>
  typeof value === 'string' && /^[\x21-\x7e]+$/.test(value);
