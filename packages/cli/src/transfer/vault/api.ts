import { randomInt } from 'node:crypto';
import type { Agent } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { answerTo, TIMED_OUT, TOO_LARGE } from '@coffer/wasmcloud/vault';
import { Failure } from '../../failure.js';
import { displayText } from '../../quote.js';
import { SourceGone } from '../attempts.js';

/** Where a Vault is. */
export interface VaultAddress {
  /** `http(s)://HOST[:PORT][/PATH]` */
  readonly address: string;
  /** Of Vault Enterprise and HCP, and of OpenBao: `team` or `team/a`. */
  readonly namespace: string | undefined;
  /** Certificate authorities (PEM) to trust in place of the system's. */
  readonly ca: Buffer | undefined;
}

/** How one shows Vault who one is. */
export type VaultLogin =
  | { readonly token: string }
  | { readonly roleId: string; readonly secretId: string | undefined; readonly mount: string };

/** An answer that need not be the end of the whole import: 200, 204, 403 or 404, and 400 to a log-in. */
export interface VaultAnswer {
  readonly status: number;
  /** JSON, which may hold secrets: the receiver wipes it. */
  readonly body: Buffer;
}

/** For a whole answer, which may be a long list. */
const PATIENCE_MS = 60_000;
/** So often a request is sent that goes over a rate limit. */
const ATTEMPTS = 20;
const LARGEST_ANSWER = 64 * 2 ** 20;

/** Asks a Vault over HTTP, by its API of version 1. It changes nothing there, but for the log-in that it ends. */
export class VaultApi implements AsyncDisposable {
  /** For messages. */
  readonly display: string;
  /** A token goes over a network in clear. */
  readonly exposed: boolean;
  readonly #namespace: string | undefined;
  readonly #http: typeof import('node:http') | typeof import('node:https');
  readonly #agent: Agent;
  #token = '';
  /** The token is one that was made for us. */
  #loggedIn = false;

  private constructor(url: URL, { namespace, ca }: VaultAddress, http: typeof import('node:https')) {
    this.display = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
    this.exposed = url.protocol === 'http:' && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
    this.#namespace = namespace;
    this.#http = http;
    this.#agent = new http.Agent({ keepAlive: true, ...(ca && { ca }) });
  }

  /** Opens no connection yet. @throws Failure */
  static async at(address: VaultAddress): Promise<VaultApi> {
    const url = URL.canParse(address.address) ? new URL(address.address) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search) {
      throw new Failure('--from or VAULT_ADDR is no address of a Vault: write https://HOST:PORT');
    }
    const { namespace } = address;
    if (namespace !== undefined && !/^[\x21-\x7e]{1,500}$/.test(namespace)) {
      throw new Failure('--from-namespace or VAULT_NAMESPACE is no path of a namespace, such as team/a');
    }
    const http = await (url.protocol === 'https:' ? import('node:https') : import('node:http'));
    return new VaultApi(url, address, http as typeof import('node:https'));
  }

  /** @throws Failure */
  async login(login: VaultLogin): Promise<void> {
    if ('token' in login) {
      if (!/^[\x21-\x7e]{1,4096}$/.test(login.token)) {
        throw new Failure('the token for Vault is empty or holds what no token holds');
      }
      this.#token = login.token;
      return;
    }
    const { roleId, secretId, mount } = login;
    const body = Buffer.from(JSON.stringify({ role_id: roleId, ...(secretId && { secret_id: secretId }) }));
    const { status, body: answer } = await this.#send('POST', `auth/${encodePath(mount)}/login`, body);
    try {
      const token = status === 200 ? (parse(answer).auth as { client_token?: unknown })?.client_token : '';
      if (typeof token !== 'string' || token === '') {
        throw new Failure(
          `Vault does not take the AppRole (${wordsOf(answer)}): check --from-role-id, --from-secret-id-file and --from-approle`,
        );
      }
      this.#token = token;
      this.#loggedIn = true;
    } finally {
      body.fill(0);
      answer.fill(0);
    }
  }

  /** What stands at a path beneath `/v1/`. @throws Failure, {@link SourceGone} if asking for another would fail, too */
  get(path: string): Promise<VaultAnswer> {
    return this.#send('GET', path);
  }

  /** Ends the log-in, and the connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      // What is not revoked ends by its time to live.
      if (this.#loggedIn) await this.#send('POST', 'auth/token/revoke-self').catch(() => {});
    } finally {
      this.#token = '';
      this.#agent.destroy();
    }
  }

  /** As often as Vault's rate limits want it. What only reads is sent again, once, when its connection breaks. */
  async #send(method: 'GET' | 'POST', path: string, body?: Buffer): Promise<VaultAnswer> {
    let breaks = method === 'GET' ? 1 : 0;
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.#exchange(method, path, body);
        const { status, retryAfter } = answer;
        if ([200, 204, 403, 404].includes(status) || (status === 400 && method === 'POST')) return answer;
        const words = wordsOf(answer.body);
        answer.body.fill(0);
        if (status !== 429 || attempt === ATTEMPTS) throw this.#refused(status, words);
        await setTimeout(retryAfter * 1_000 + randomInt(500));
      } catch (error) {
        if (error instanceof Failure) throw error;
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'ECONNRESET' || breaks-- === 0) throw this.#unreachable(error as NodeJS.ErrnoException);
      }
    }
  }

  #refused(status: number, words: string): SourceGone {
    if (/HTTP request to an HTTPS server/.test(words)) {
      return new SourceGone(`${this.display} speaks TLS: write https://`);
    }
    const standby =
      status >= 300 && status < 400 ? ', as one that stands by: name the active one' : `: ${words}`;
    return new SourceGone(`Vault answers ${status}${standby}`);
  }

  async #exchange(
    method: string,
    path: string,
    body: Buffer | undefined,
  ): Promise<VaultAnswer & { readonly retryAfter: number }> {
    const request = this.#http.request(`${this.display}/v1/${path}`, {
      method,
      agent: this.#agent,
      headers: {
        'X-Vault-Request': 'true',
        ...(this.#token !== '' && { 'X-Vault-Token': this.#token }),
        ...(this.#namespace !== undefined && { 'X-Vault-Namespace': this.#namespace }),
        ...(body && { 'Content-Type': 'application/json', 'Content-Length': body.length }),
      },
    });
    const wait = { timeoutMs: PATIENCE_MS, largestBytes: LARGEST_ANSWER };
    const { status, headers, body: answer } = await answerTo(request, wait, body);
    const seconds = headers['retry-after'] ?? '';
    return { status, body: answer, retryAfter: /^\d{1,2}$/.test(seconds) ? Number(seconds) : 1 };
  }

  #unreachable({ code = '', message }: NodeJS.ErrnoException): SourceGone {
    if (code === TOO_LARGE) return new SourceGone('Vault gives an answer that is larger than any secret');
    if (/CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME/.test(code)) {
      return new SourceGone(
        `the certificate of ${this.display} is not to be trusted (${code}): use --from-ca FILE, or the name that it holds`,
      );
    }
    const why = WHY[code] ?? (code || message);
    return new SourceGone(
      `cannot reach ${this.display} (${why}): check that Vault runs, and that --from or VAULT_ADDR is right`,
    );
  }
}

const WHY: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection broke',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name service does not answer',
  [TIMED_OUT]: `no answer within ${PATIENCE_MS / 1000} s`,
  UPGRADE: 'it changes to another protocol',
  EPROTO: 'it does not speak TLS',
};

/** A path of Vault's, as it stands in a URL. */
export const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

/** An answer that holds no secret. @throws SourceGone */
export function parse(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Its own words quote the answer.
  }
  throw new SourceGone('what answers there is no Vault: check --from or VAULT_ADDR');
}

/** What Vault says of a refusal, in one line. */
export function wordsOf(body: Buffer): string {
  const text = body.toString('utf8');
  let said: unknown;
  try {
    said = (JSON.parse(text) as { errors?: unknown }).errors;
  } catch {
    said = [text];
  }
  const words = (Array.isArray(said) ? said.join('; ') : '').replace(/[\p{C}\s]+/gu, ' ').trim();
  return words === '' ? 'without a reason' : displayText(words.slice(0, 300));
}
