import { isUtf8 } from 'node:buffer';
import {
  type Requester,
  type Secret,
  type SecretQuery,
  type SecretSource,
  SecretsError,
} from '@coffer/wasmcloud';
import { asToldError } from './errors.js';

/** So many things a source may say of where it reads. */
const DESCRIBED = 8;

export interface GuardOptions {
  /** Of the backend, for sentences. */
  readonly name: string;
  readonly timeoutMs: number;
  /** So many requests may be at the source, those among them that nobody waits for any more. */
  readonly most: number;
}

/**
 * A source that may throw, hang, or answer with nonsense: whoever asks it here gets a secret or an error, in time, and what comes
 * too late is wiped.
 */
export class GuardedSource {
  readonly #source: SecretSource;
  readonly #options: GuardOptions;
  #asked = 0;

  constructor(source: SecretSource, options: GuardOptions) {
    this.#source = source;
    this.#options = options;
  }

  /** @throws SecretsError; anything else is a mistake of the source's */
  async fetch(query: SecretQuery, requester: Requester): Promise<Secret> {
    const { name, timeoutMs, most } = this.#options;
    if (query.key === '') throw new SecretsError('InvalidRequest');
    if (this.#asked >= most) {
      throw new SecretsError(
        'UpstreamError',
        `${name} has left ${most} requests unanswered, and is asked no more until it answers`,
      );
    }
    const waiting = new AbortController();
    this.#asked++;
    const asked = (async () => this.#source.fetch(query, requester, waiting.signal))();
    const answer = asked.then(checkedSecret, (error: unknown) => Promise.reject(asToldError(error)));
    const left = () => void this.#asked--;
    asked.then(left, left);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new SecretsError('UpstreamError', `${name} has not answered within ${timeoutMs / 1000} s`));
        waiting.abort();
        answer.then(({ value }) => value.fill(0)).catch(() => {});
      }, timeoutMs);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What the audit log is to say of where this is read; undefined: the source says nothing that can be said. */
  describe(query: SecretQuery, requester: Requester): Readonly<Record<string, string>> | undefined {
    try {
      const described = Object.entries(this.#source.describe?.(query, requester) ?? {});
      const texts = described.filter(([, text]) => typeof text === 'string').slice(0, DESCRIBED);
      return texts.length === 0 ? undefined : Object.fromEntries(texts.map(wellFormed));
    } catch {
      return undefined;
    }
  }

  /** Why it cannot answer now. @param timeoutMs how long it may take to say so */
  async unready(timeoutMs: number): Promise<string | undefined> {
    if (this.#source.unready === undefined) return undefined;
    const waiting = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => {
        resolve(`it does not say within ${timeoutMs / 1000} s whether it can`);
        waiting.abort();
      }, timeoutMs).unref();
    });
    const asked = (async () => this.#source.unready?.(waiting.signal))();
    try {
      return await Promise.race([asked, late]);
    } catch (error) {
      return `it cannot even say so (${(error as Error | undefined)?.name})`;
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    await this.#source.close?.();
  }
}

const wellFormed = (texts: readonly string[]) => texts.map((text) => text.toWellFormed()) as [string, string];

/** Somebody else's word for it that this is a secret is not enough. */
function checkedSecret(secret: Secret): Secret {
  const { version, kind, value } = (secret ?? {}) as Partial<Secret>;
  if (!(value instanceof Uint8Array)) throw new NoSecret('value is no Uint8Array');
  const wrong =
    typeof version !== 'string' || version === ''
      ? 'version is no text'
      : kind !== 'string' && kind !== 'binary'
        ? 'kind is neither string nor binary'
        : kind === 'string' && !isUtf8(value)
          ? 'kind is string, and value is no UTF-8'
          : undefined;
  if (wrong === undefined) return secret;
  value.fill(0);
  throw new NoSecret(wrong);
}

/** The log tells the name of an error that is not ours, and nothing of its message. */
class NoSecret extends Error {
  constructor(what: string) {
    super(`the source has answered with what is no secret: ${what}`);
    this.name = `NoSecret (${what})`;
  }
}
