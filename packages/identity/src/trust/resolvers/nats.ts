import { setTimeout as wait } from 'node:timers/promises';
import type { Authenticator, Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { type KeyPair, keyPairFromSeed } from '../../keys/key-pair.js';
import { parseCreds } from '../../tokens/creds.js';
import { LookupError } from '../lookups.js';
import type { AccountResolver } from '../options.js';
import { type AccountToken, accountIn, isAccountKey } from '../tokens.js';

/**
 * Source of the subjects and answers: nats-server 2.15 (`server/events.go`; `DirAccResolver.Start` in `server/accounts.go`). An
 * account is pushed on any of three subjects, with its token as the message; servers answer a lookup with the token, or with
 * nothing for an account that they do not have.
 */
const LOOKUP = (account: string) => `$SYS.REQ.ACCOUNT.${account}.CLAIMS.LOOKUP`;
const LIST = '$SYS.REQ.CLAIMS.LIST';
const UPDATES = [
  '$SYS.ACCOUNT.*.CLAIMS.UPDATE',
  '$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE',
  '$SYS.REQ.CLAIMS.UPDATE',
];
const DELETE = '$SYS.REQ.CLAIMS.DELETE';

/** How long a server may take to answer. */
const ANSWER_MS = 2_000;
const CONNECT_MS = 5_000;
const RECONNECT_MS = 1_000;
/** A server of a cluster may not have yet what was just pushed: it is asked again, so often and for so long. */
const CATCH_UP = { forMs: 5_000, everyMs: 80, tries: 10 };
/** Accounts that were just pushed. */
const MOST_PUSHED = 1_000;

export interface NatsResolverOptions {
  /** `nats://HOST:PORT` or `tls://HOST:PORT`, of one cluster. */
  readonly servers: string | readonly string[];
  /** The content of the creds file of a user of the system account; it stays the caller's to wipe. */
  readonly creds?: Uint8Array | undefined;
  /** Authorities to trust in place of the system's, PEM. */
  readonly tls?: { readonly ca?: string | Uint8Array | undefined } | undefined;
  /** Told, in a sentence, when the servers are lost or say that something may not be done. */
  readonly onProblem?: ((message: string) => void) | undefined;
}

/**
 * Takes the accounts from nats-servers with a resolver of their own (`type: full`), as a user of their system account, and hears
 * of accounts that are pushed or deleted. Connects when it is first used, and again for ever; after that anything may have
 * changed. It is to be closed.
 *
 * @throws IdentityError as `parseCreds` and `keyPairFromSeed`
 */
export function natsResolver(options: NatsResolverOptions): Required<AccountResolver> {
  return new NatsResolver(options);
}

class NatsResolver implements Required<AccountResolver> {
  readonly #options: NatsResolverOptions;
  readonly #user: { readonly jwt: string; readonly keyPair: KeyPair } | undefined;
  readonly #listeners = new Set<(account?: string) => void>();
  readonly #pushed = new Map<string, { readonly token: AccountToken; readonly at: number }>();
  readonly #closing = new AbortController();
  #connecting: Promise<NatsConnection> | undefined;
  /** It was there, and is being made again. */
  #isLost = false;

  constructor(options: NatsResolverOptions) {
    this.#options = options;
    this.#user = options.creds && userOf(options.creds);
  }

  async lookup(account: string): Promise<string | undefined> {
    if (!isAccountKey(account)) return undefined;
    for (let tries = 1; ; tries++) {
      const answer = Buffer.from((await this.#request(LOOKUP(account))).data).toString('latin1');
      if (!this.#isBehind(account, answer)) return answer === '' ? undefined : answer;
      if (tries >= CATCH_UP.tries) {
        throw new LookupError('the NATS servers do not have yet what was pushed: try again');
      }
      await wait(CATCH_UP.everyMs);
    }
  }

  async accounts(): Promise<readonly string[]> {
    const { data } = (await this.#request(LIST)).json<{ data?: unknown }>() ?? {};
    if (!Array.isArray(data)) throw new LookupError('the NATS servers sent a list of accounts that is none');
    return data.filter(isAccountKey);
  }

  watch(changed: (account?: string) => void): () => void {
    this.#listeners.add(changed);
    this.#connection().catch(() => {});
    return () => void this.#listeners.delete(changed);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#listeners.clear();
    await this.#connecting?.then((connection) => connection.close()).catch(() => {});
    this.#user?.keyPair.wipe();
  }

  async #request(subject: string): Promise<Msg> {
    if (this.#isLost) throw new LookupError('no NATS server can be reached');
    const connection = await this.#connection();
    try {
      return await connection.request(subject, '', { timeout: ANSWER_MS });
    } catch (error) {
      throw new LookupError('the NATS servers did not answer: their account resolver must be of type full', {
        cause: error,
      });
    }
  }

  /** Whether a server has an older token than one that was just pushed. */
  #isBehind(account: string, answer: string): boolean {
    const pushed = this.#pushed.get(account);
    if (pushed === undefined || answer === pushed.token.text) return false;
    if (performance.now() - pushed.at > CATCH_UP.forMs) {
      this.#pushed.delete(account);
      return false;
    }
    return (accountIn(answer)?.iat ?? 0) <= pushed.token.iat;
  }

  #connection(): Promise<NatsConnection> {
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  /** Tries until it is connected, or closed. */
  async #connect(): Promise<NatsConnection> {
    const { servers, tls } = this.#options;
    const { connect } = await import('@nats-io/transport-node');
    for (;;) {
      this.#closing.signal.throwIfAborted();
      try {
        const connection = await connect({
          servers: typeof servers === 'string' ? servers : [...servers],
          name: 'coffer',
          timeout: CONNECT_MS,
          maxReconnectAttempts: -1,
          reconnectTimeWait: RECONNECT_MS,
          ...(this.#user && { authenticator: authenticatorOf(this.#user) }),
          ...(tls?.ca !== undefined && { tls: { ca: Buffer.from(tls.ca).toString('latin1') } }),
        });
        this.#attend(connection);
        return connection;
      } catch (error) {
        this.#problem('no NATS server lets accounts be looked up', error);
        await wait(RECONNECT_MS, undefined, { signal: this.#closing.signal, ref: false });
      }
    }
  }

  #attend(connection: NatsConnection): void {
    for (const subject of UPDATES) this.#subscribe(connection, subject, (message) => this.#updated(message));
    // Whether it may be deleted, the server decides: what is left it tells.
    this.#subscribe(connection, DELETE, () => this.#tell());
    if (this.#isLost) void this.#found(connection);
    void this.#follow(connection);
  }

  #subscribe(connection: NatsConnection, subject: string, heard: (message: Msg) => void): Subscription {
    return connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) this.#problem(`changes of accounts cannot be heard on ${subject}`, error);
        else heard(message);
      },
    });
  }

  /** Until it ends for good: one that is refused twice does, and another one is asked for with pauses. */
  async #follow(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect') {
        this.#isLost = true;
        this.#problem('the connection to the NATS servers is lost');
      } else if (type === 'reconnect') void this.#found(connection);
    }
    if (this.#closing.signal.aborted) return;
    this.#isLost = true;
    this.#connecting = this.#connect();
    this.#connecting.catch(() => {});
  }

  /** Again: anything may have changed meanwhile. */
  async #found(connection: NatsConnection): Promise<void> {
    this.#isLost = false;
    this.#pushed.clear();
    // Nothing is missed any more from when the server has heard what is subscribed to.
    await connection.flush().catch(() => {});
    this.#tell();
  }

  #updated({ data }: Msg): void {
    const token = accountIn(Buffer.from(data).toString('latin1'));
    if (token === undefined) return;
    this.#pushed.delete(token.key);
    this.#pushed.set(token.key, { token, at: performance.now() });
    const [oldest] = this.#pushed.keys();
    if (this.#pushed.size > MOST_PUSHED && oldest !== undefined) this.#pushed.delete(oldest);
    this.#tell(token.key);
  }

  #tell(account?: string): void {
    for (const listener of [...this.#listeners]) listener(account);
  }

  #problem(what: string, error?: unknown): void {
    if (this.#closing.signal.aborted) return;
    this.#options.onProblem?.(error instanceof Error ? `${what}: ${error.message}` : what);
  }
}

function userOf(creds: Uint8Array): { readonly jwt: string; readonly keyPair: KeyPair } {
  const { jwt, seed } = parseCreds(creds);
  try {
    return { jwt, keyPair: keyPairFromSeed(seed) };
  } finally {
    seed.fill(0);
  }
}

const authenticatorOf =
  ({ jwt, keyPair }: { readonly jwt: string; readonly keyPair: KeyPair }): Authenticator =>
  (nonce) => ({
    jwt,
    nkey: keyPair.publicKey,
    sig: nonce ? Buffer.from(keyPair.sign(Buffer.from(nonce))).toString('base64url') : '',
  });
