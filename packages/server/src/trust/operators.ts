import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CofferError } from '@coffer/engine';
import { decodeOperator, IdentityError, tokenIn } from '@coffer/identity';
import type { Logger } from 'pino';
import { isToken } from '../config/trust.js';

export interface OperatorOptions {
  readonly log: Logger;
  /** Told when a token is another one, or is gone. */
  readonly onChange: () => void;
  /** How often the files are read, in milliseconds. */
  readonly pollMs?: number;
}

/** Two looks find a change that stays, within a second. */
const POLL_MS = 400;
/** No larger file is read; an operator's token has about a thousand bytes. */
const FILE_BYTES = 1024 * 1024;

/** Where an operator's token is: itself, in a file, or in a folder of an nsc store. */
export type OperatorSource =
  | { readonly token: string }
  | { readonly file: string }
  | { readonly store: string };

/** @param store where there are no operators, that of this store is meant */
export function operatorSources(operators: readonly string[], store: string | undefined): OperatorSource[] {
  if (operators.length === 0 && store !== undefined) return [{ store }];
  return operators.map((one) => (isToken(one) ? { token: one } : { file: one }));
}

/**
 * The tokens of trusted operators, as their files have them. The files are read again and again: no event tells of every way
 * in which a file changes. One that is gone or broken for more than a moment trusts nobody, until it is right again.
 *
 * Life: `open`, then `close`.
 */
export class Operators {
  readonly #options: OperatorOptions;
  readonly #timer: NodeJS.Timeout;
  #sources: readonly OperatorSource[];
  /** One for each source; undefined: it cannot be used. */
  #tokens: readonly (string | undefined)[];
  /** Sources that could not be used at the last look, and had been right before. */
  #doubtful = new Set<OperatorSource>();
  #looking = false;

  private constructor(
    sources: readonly OperatorSource[],
    tokens: readonly string[],
    options: OperatorOptions,
  ) {
    this.#sources = sources;
    this.#tokens = tokens;
    this.#options = options;
    this.#timer = setInterval(() => void this.#look(), options.pollMs ?? POLL_MS);
    this.#timer.unref();
  }

  /** @throws CofferError `invalid_argument`, one sentence: which of them cannot be used, and why */
  static async open(sources: readonly OperatorSource[], options: OperatorOptions): Promise<Operators> {
    return new Operators(sources, await Promise.all(sources.map(readOperator)), options);
  }

  /** Those that can be used now. */
  get tokens(): readonly string[] {
    return this.#tokens.filter((token) => token !== undefined);
  }

  /** Of how many sources there is no token now. */
  get missing(): number {
    return this.#tokens.length - this.tokens.length;
  }

  /**
   * Reads these, to be trusted in place of those before.
   *
   * @returns what puts them in force
   * @throws CofferError `invalid_argument`: one cannot be used, and nothing has changed
   */
  async prepare(sources: readonly OperatorSource[]): Promise<() => void> {
    const tokens = await Promise.all(sources.map(readOperator));
    return () => {
      this.#sources = sources;
      this.#install(tokens);
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** A disk that does not answer is not asked again until it does. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    const sources = this.#sources;
    const found = await Promise.all(
      sources.map((source) => readOperator(source).catch((error: Error) => error)),
    );
    this.#looking = false;
    // Others were put in force meanwhile.
    if (sources !== this.#sources) return;
    this.#install(found.map((one, at) => (one instanceof Error ? this.#failed(at, one) : one)));
    this.#doubtful = new Set(sources.filter((_, at) => found[at] instanceof Error));
  }

  /** A file that is being written anew looks broken for a moment: it counts as broken when it was so twice. */
  #failed(at: number, { message }: Error): string | undefined {
    const before = this.#tokens[at];
    const source = this.#sources[at] as OperatorSource;
    if (before === undefined || !this.#doubtful.has(source)) return before;
    this.#options.log.error(
      { reason: message },
      'the token of a trusted operator cannot be used any more: nobody is trusted for its sake',
    );
    return undefined;
  }

  #install(tokens: readonly (string | undefined)[]): void {
    const before = this.#tokens;
    this.#tokens = tokens;
    const changed = tokens.length !== before.length || tokens.some((token, at) => token !== before[at]);
    if (!changed) return;
    this.#options.log.info({ operators: this.tokens.length }, 'the tokens of trusted operators have changed');
    this.#options.onChange();
  }
}

/**
 * The token of an operator. That it is signed is checked, not whether its time is right.
 *
 * @throws CofferError `invalid_argument`
 */
export async function readOperator(source: OperatorSource): Promise<string> {
  if ('token' in source) return operatorIn(Buffer.from(source.token), 'an entry of trust.operators');
  const path = 'file' in source ? source.file : await operatorOf(source.store);
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw refuse(`the operator’s token ${path} ${reasonOf(error)}`);
  });
  return operatorIn(bytes, path);
}

function operatorIn(bytes: Uint8Array, where: string): string {
  try {
    if (bytes.length > FILE_BYTES) throw refuse(`${where} is too large for a token`);
    return decodeOperator(tokenIn(bytes)).text;
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    throw refuse(`${where} is no token of an operator: ${error.message}`);
  }
}

/** `<store>/<operator>/<operator>.jwt` is the one token that lies in the folder of an operator itself. */
async function operatorOf(store: string): Promise<string> {
  const names = await readdir(store).catch((error: NodeJS.ErrnoException) => {
    throw refuse(`the folder of the trusted operator, ${store}, ${reasonOf(error)}`);
  });
  const tokens = names.filter((name) => name.endsWith('.jwt'));
  const [only] = tokens;
  if (only === undefined || tokens.length > 1) {
    throw refuse(
      `${store} is no folder of an operator: there is ${tokens.length === 0 ? 'no' : 'more than one'} token in it. In an ` +
        'nsc store it is STORES/OPERATOR',
    );
  }
  return join(store, only);
}

function reasonOf({ code }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT') return 'is not there';
  return code === 'EACCES' ? 'may not be read by this user' : `cannot be read (${code})`;
}

function refuse(message: string): CofferError {
  return new CofferError('invalid_argument', message);
}
