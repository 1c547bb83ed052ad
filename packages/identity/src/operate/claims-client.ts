import type { Msg, NatsConnection, RequestManyOptions } from '@nats-io/transport-node';
import { IdentityError } from '../errors.js';
import { type KeyPair, keyPairFromSeed } from '../keys/key-pair.js';
import { parsePublicKey } from '../keys/nkey.js';
import { type Creds, parseCreds } from '../tokens/creds.js';
import { type Json, parseJson } from '../tokens/json.js';
import { decodeAccount, encodeJwt } from '../tokens/jwt.js';

/**
 * The accounts that nats-servers know, over NATS: read and changed by a user of the system account, where the servers have a
 * resolver of their own (`type: full`).
 *
 * Source of subjects and answers: nats-server 2.15 (`events.go`, `accounts.go`: `DirAccResolver`).
 */
const SUBJECTS = {
  update: '$SYS.REQ.CLAIMS.UPDATE',
  list: '$SYS.REQ.CLAIMS.LIST',
  delete: '$SYS.REQ.CLAIMS.DELETE',
  lookup: (account: string) => `$SYS.REQ.ACCOUNT.${account}.CLAIMS.LOOKUP`,
  info: (account: string) => `$SYS.REQ.ACCOUNT.${account}.INFO`,
} as const;

/** What a user needs to be allowed to push, list and delete; for a user that is made for just that. */
export const CLAIMS_PERMISSIONS = {
  pub: { allow: [SUBJECTS.list, SUBJECTS.update, SUBJECTS.delete, SUBJECTS.lookup('*'), SUBJECTS.info('*')] },
  sub: { allow: ['_INBOX.>'] },
} as const;

/** nats-servers are out of reach, or did not do what they were asked. */
export class ServersError extends IdentityError<'servers_failed'> {}

export interface ClaimsServers {
  /** `nats://HOST:PORT` or `tls://HOST:PORT`; any one of them is connected to. */
  readonly servers: readonly string[];
  /** A user of the system account: the content of a creds file, which stays the caller's to wipe, or its parts. */
  readonly user: Uint8Array | { readonly jwt: string; readonly keyPair: KeyPair };
  /** Authorities to trust in place of the system's, PEM. */
  readonly ca?: string | undefined;
  /** How long to wait for a connection, and for the first answer (5 s). */
  readonly timeoutMs?: number | undefined;
}

/** What one server of the cluster said. */
export interface ServerAnswer {
  readonly server: string;
  readonly ok: boolean;
  readonly message: string;
}

/** How long after an answer another one may come, of another server of the cluster. */
const STALL_MS = 300;

/** Each server of a cluster answers once: a list of all accounts, or a sentence. */
const MOST_ANSWERS = 1_000;
const MOST_BYTES = 64 * 1024 * 1024;

/** A connection to the system account. */
export class ClaimsClient implements AsyncDisposable {
  readonly #connection: NatsConnection;
  readonly #timeoutMs: number;
  readonly #release: () => void;

  private constructor(connection: NatsConnection, timeoutMs: number, release: () => void) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#release = release;
  }

  /** @throws ServersError if no server can be reached or none lets the user in; as `parseCreds` */
  static async connect(options: ClaimsServers): Promise<ClaimsClient> {
    const { servers, ca, timeoutMs = 5_000 } = options;
    const { jwt, keyPair, release } = userOf(options.user);
    try {
      const { connect } = await import('@nats-io/transport-node');
      const connection = await connect({
        servers: [...servers],
        timeout: timeoutMs,
        reconnect: false,
        name: 'coffer',
        ...(ca === undefined ? {} : { tls: { ca } }),
        authenticator: (nonce) => ({
          jwt,
          nkey: keyPair.publicKey,
          sig: nonce ? Buffer.from(keyPair.sign(Buffer.from(nonce))).toString('base64url') : '',
        }),
      });
      return new ClaimsClient(connection, timeoutMs, release);
    } catch (error) {
      release();
      throw failed(`cannot connect to ${servers.join(', ')} as a user of the system account`, error);
    }
  }

  /** Gives all servers an account’s token. */
  async update(token: string): Promise<ServerAnswer[]> {
    const { sub } = decodeAccount(token).claims;
    return this.#answers(SUBJECTS.update, token, sub);
  }

  /** The keys of the accounts that any of the servers has. */
  async list(): Promise<string[]> {
    const keys = new Set<string>();
    for (const { data } of await this.#ask(SUBJECTS.list)) {
      if (!Array.isArray(data)) throw failed('a server sent a list of accounts that is none');
      for (const key of data) if (isAccountKey(key)) keys.add(key);
    }
    return [...keys].sort();
  }

  /** The account’s token by which each server lives that has loaded it: not always the one that it keeps. */
  async inForce(account: string): Promise<{ readonly server: string; readonly token: string }[]> {
    if (!isAccountKey(account)) throw failed('only an account can be looked up, by its key (A…)');
    return (await this.#heard(SUBJECTS.info(account))).flatMap(({ server, data }) => {
      const token = textOf(data, 'jwt');
      return token === '' ? [] : [{ server, token }];
    });
  }

  /** The account’s token as the server has it. */
  async lookup(account: string): Promise<string | undefined> {
    if (!isAccountKey(account)) throw failed('only an account can be looked up, by its key (A…)');
    try {
      const { data } = await this.#connection.request(SUBJECTS.lookup(account), '', {
        timeout: this.#timeoutMs,
      });
      return data.length > 0 ? Buffer.from(data).toString('latin1') : undefined;
    } catch (error) {
      throw failed('no server answered when asked for an account', error);
    }
  }

  /** Has all servers delete accounts; a server whose resolver says `allow_delete: false` refuses. @param signer the operator’s key, or a signing key of it */
  async delete(accounts: readonly string[], signer: KeyPair): Promise<ServerAnswer[]> {
    const request = encodeJwt({ sub: signer.publicKey, nats: { accounts, type: 'generic' } }, signer);
    return this.#answers(SUBJECTS.delete, request);
  }

  async close(): Promise<void> {
    try {
      await this.#connection.close();
    } finally {
      this.#release();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @param account that an answer must name; one about several names none */
  async #answers(subject: string, payload: string, account?: string): Promise<ServerAnswer[]> {
    return (await this.#ask(subject, payload)).map(({ server, data, error }) => {
      if (error !== undefined && error !== null) {
        return {
          server,
          ok: false,
          message: textOf(error, 'description') || 'it refused, and did not say why',
        };
      }
      const ok =
        fieldOf(data, 'code') === 200 && (account === undefined || textOf(data, 'account') === account);
      return { server, ok, message: ok ? textOf(data, 'message') : 'its answer does not say that it did it' };
    });
  }

  /** What each server answers; servers without a resolver of their own say nothing. */
  async #ask(subject: string, payload = ''): Promise<Answer[]> {
    const heard = await this.#heard(subject, payload);
    if (heard.length > 0) return heard;
    throw failed(
      'no server answered: does it have a resolver of type full, and is the user one of its system account?',
    );
  }

  async #heard(subject: string, payload = ''): Promise<Answer[]> {
    const heard: Answer[] = [];
    const end = performance.now() + this.#timeoutMs;
    let bytes = 0;
    try {
      const options = {
        strategy: 'stall',
        maxWait: this.#timeoutMs,
        stall: STALL_MS,
      } as Partial<RequestManyOptions>;
      for await (const message of await this.#connection.requestMany(subject, payload, options)) {
        bytes += message.data.length;
        if (heard.length >= MOST_ANSWERS || bytes > MOST_BYTES) {
          throw failed('the servers answered more than any cluster would: look at who answers there');
        }
        heard.push(answerOf(message));
        // While answers keep coming, the connection's own limit of time may not be kept.
        if (performance.now() > end) break;
      }
    } catch (error) {
      if (!isNoResponders(error)) throw failed('the server did not answer', error);
    }
    return heard;
  }
}

interface Answer {
  readonly server: string;
  readonly data?: Json | undefined;
  readonly error?: Json | undefined;
}

function answerOf({ data }: Msg): Answer {
  const answer = parseJson(Buffer.from(data).toString('utf8')) as Record<string, Json> | null;
  if (answer === null || typeof answer !== 'object') throw failed('a server sent an answer that is none');
  return { server: textOf(answer.server, 'name'), data: answer.data, error: answer.error };
}

/** What a server says is shown to people: a field that is no text is none. */
function textOf(value: Json | undefined, field: string): string {
  const text = fieldOf(value, field);
  return typeof text === 'string' ? text : '';
}

const fieldOf = (value: Json | undefined, field: string): Json | undefined =>
  (value as Record<string, Json> | null | undefined)?.[field];

function userOf(user: ClaimsServers['user']): { jwt: string; keyPair: KeyPair; release: () => void } {
  if (!(user instanceof Uint8Array)) return { ...user, release: () => {} };
  const { jwt, seed }: Creds = parseCreds(user);
  try {
    const keyPair = keyPairFromSeed(seed);
    return { jwt, keyPair, release: () => keyPair.wipe() };
  } finally {
    seed.fill(0);
  }
}

const isNoResponders = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'NoRespondersError' || /^no responders/.test(error.message));

function isAccountKey(key: unknown): key is string {
  try {
    return typeof key === 'string' && parsePublicKey(key).kind === 'account';
  } catch {
    return false;
  }
}

function failed(what: string, cause?: unknown): ServersError {
  if (cause instanceof ServersError) return cause;
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new ServersError('servers_failed', `${what}${why}`, { cause });
}
