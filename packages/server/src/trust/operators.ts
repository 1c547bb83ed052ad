import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CofferError } from '@coffer/engine';
import { IdentityError, readTrustedOperator, tokenIn } from '@coffer/identity';
import type { Logger } from 'pino';
import { isOperatorKey, isToken } from '../config/trust.js';

export interface OperatorOptions {
  readonly log: Logger;
  /** Told when a token is another one, or is gone. */
  readonly onChange: () => void;
  /** For how long a token counts whose file cannot be asked. */
  readonly maxAgeSeconds: number;
  /** How often the files are read, in milliseconds. */
  readonly pollMs?: number;
  /** How long it may take to read one, in milliseconds. Default 5,000. */
  readonly patienceMs?: number;
  /** In place of {@link readOperator}. */
  readonly read?: (source: OperatorSource) => Promise<string>;
}

/** Two looks find a change that stays, within a second. */
const POLL_MS = 400;
const PATIENCE_MS = 5_000;
/** Each look that hangs holds up one of the few threads that files are read by: so many may, beyond one for each source. */
const MOST_STUCK = 2;
/** No larger file is read; an operator's token has about a thousand bytes. */
const FILE_BYTES = 1024 * 1024;

/** Where an operator's token is: itself, in a file, or in a folder of an nsc store. Or there is its key alone. */
export type OperatorSource =
  | { readonly key: string }
  | { readonly token: string }
  | { readonly file: string }
  | { readonly store: string };

/** @param store where there are no operators, that of this store is meant */
export function operatorSources(operators: readonly string[], store: string | undefined): OperatorSource[] {
  if (operators.length === 0 && store !== undefined) return [{ store }];
  return operators.map((one) => {
    if (isOperatorKey(one)) return { key: one };
    return isToken(one) ? { token: one } : { file: one };
  });
}

/** A file that does not answer: nothing is known of it. */
class NoAnswer extends CofferError {}

/**
 * The tokens of trusted operators, as their files have them. The files are read again and again: no event tells of every way
 * in which a file changes. One that is gone or broken for more than a moment trusts nobody, until it is right again; so does one
 * that cannot be asked for longer than `maxAgeSeconds`.
 *
 * Life: `open`, then `close`.
 */
export class Operators {
  readonly #options: OperatorOptions;
  readonly #timer: NodeJS.Timeout;
  #sources: readonly Watched[];
  /** Looks that did not end in time, and have not ended since. */
  readonly #stuck: OperatorSource[] = [];

  private constructor(
    sources: readonly OperatorSource[],
    tokens: readonly string[],
    options: OperatorOptions,
  ) {
    this.#sources = sources.map((source, at) => watched(source, tokens[at]));
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), options.pollMs ?? POLL_MS);
    this.#timer.unref();
  }

  /** @throws CofferError `invalid_argument`, one sentence: which of them cannot be used, and why */
  static async open(sources: readonly OperatorSource[], options: OperatorOptions): Promise<Operators> {
    const { read = readOperator, patienceMs } = options;
    const tokens = await Promise.all(sources.map((source) => inTime(read(source), source, patienceMs)));
    return new Operators(sources, tokens, options);
  }

  /** Those that can be used now. */
  get tokens(): readonly string[] {
    return this.#sources.flatMap(({ token }) => token ?? []);
  }

  /** Of how many sources there is no token now. */
  get missing(): number {
    return this.#sources.length - this.tokens.length;
  }

  /**
   * Reads these, to be trusted in place of those before.
   *
   * @returns what puts them in force
   * @throws CofferError `invalid_argument`: one cannot be used, and nothing has changed
   */
  async prepare(sources: readonly OperatorSource[]): Promise<() => void> {
    const { read = readOperator, patienceMs } = this.#options;
    const tokens = await Promise.all(sources.map((source) => inTime(read(source), source, patienceMs)));
    return () => {
      const before = this.tokens;
      this.#sources = sources.map((source, at) => watched(source, tokens[at]));
      const changed = tokens.length !== before.length || tokens.some((token, at) => token !== before[at]);
      if (changed) this.#tell();
    };
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Each source by itself: a disk that does not answer keeps no other from being looked at. */
  #look(): void {
    for (const one of this.#sources) {
      if (one.looking) continue;
      const stuck = this.#stuck.includes(one.source);
      if (stuck && this.#stuck.length >= MOST_STUCK) this.#failed(one, noAnswer(one.source));
      else void this.#lookAt(one);
    }
  }

  async #lookAt(one: Watched): Promise<void> {
    const { read = readOperator, patienceMs } = this.#options;
    one.looking = true;
    const began = performance.now();
    const reading = read(one.source);
    const found = await inTime(reading, one.source, patienceMs).catch((error: Error) => error);
    one.looking = false;
    if (found instanceof NoAnswer) this.#waitFor(one.source, reading);
    // Others were put in force meanwhile.
    if (!this.#sources.includes(one)) return;
    if (found instanceof Error) {
      this.#failed(one, found);
      return;
    }
    one.goodAt = began;
    one.doubtful = false;
    this.#install(one, found);
  }

  #waitFor(source: OperatorSource, reading: Promise<string>): void {
    this.#stuck.push(source);
    const done = () => void this.#stuck.splice(this.#stuck.indexOf(source), 1);
    reading.then(done, done);
  }

  /**
   * A file that is being written anew looks broken for a moment: it counts as broken when it was so twice. Of one that does not
   * answer it is not known whether it is, for a while.
   */
  #failed(one: Watched, error: Error): void {
    const tooOld = performance.now() - one.goodAt > this.#options.maxAgeSeconds * 1000;
    const broken = !(error instanceof NoAnswer) && one.doubtful;
    one.doubtful ||= !(error instanceof NoAnswer);
    if (one.token === undefined || !(broken || tooOld)) return;
    this.#options.log.error(
      { reason: error.message },
      'the token of a trusted operator cannot be used any more: nobody is trusted for its sake',
    );
    this.#install(one, undefined);
  }

  #install(one: Watched, token: string | undefined): void {
    if (one.token === token) return;
    one.token = token;
    this.#tell();
  }

  #tell(): void {
    this.#options.log.info({ operators: this.tokens.length }, 'the tokens of trusted operators have changed');
    this.#options.onChange();
  }
}

interface Watched {
  readonly source: OperatorSource;
  /** Undefined: it cannot be used. */
  token: string | undefined;
  /** When the last look began that found a token, by `performance.now`. */
  goodAt: number;
  /** It could not be used at the last look. */
  doubtful: boolean;
  looking: boolean;
}

const watched = (source: OperatorSource, token: string | undefined): Watched => ({
  source,
  token,
  goodAt: performance.now(),
  doubtful: false,
  looking: false,
});

/**
 * As {@link readOperator}, with an end where the disk does not answer.
 *
 * @throws CofferError `invalid_argument`
 */
export const readOperatorInTime = (source: OperatorSource): Promise<string> =>
  inTime(readOperator(source), source);

async function inTime(
  reading: Promise<string>,
  source: OperatorSource,
  patienceMs = PATIENCE_MS,
): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(noAnswer(source)), patienceMs);
  });
  try {
    return await Promise.race([reading, late]);
  } finally {
    clearTimeout(timer);
  }
}

function noAnswer(source: OperatorSource): NoAnswer {
  const path = 'file' in source ? source.file : 'store' in source ? source.store : 'trust.operators';
  return new NoAnswer('invalid_argument', `the disk with the operator’s token ${path} does not answer`);
}

/**
 * The token of an operator, of NATS or of wasmCloud, or its key where there is nothing else. That a token is signed is checked,
 * not whether its time is right.
 *
 * @throws CofferError `invalid_argument`
 */
export async function readOperator(source: OperatorSource): Promise<string> {
  if ('key' in source) return source.key;
  if ('token' in source) return operatorIn(Buffer.from(source.token), 'an entry of trust.operators');
  const path = 'file' in source ? source.file : await operatorOf(source.store);
  return operatorIn(await readRegular(path), path);
}

/** A pipe or device might never end, and a file be as large as a disk: it is looked at before it is opened, and again after. */
async function readRegular(path: string): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    checkRegular(await stat(path), path);
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    checkRegular(await file.stat(), path);
    return await file.readFile();
  } catch (error) {
    if (error instanceof CofferError) throw error;
    throw refuse(`the operator’s token ${path} ${reasonOf(error as NodeJS.ErrnoException)}`);
  } finally {
    await file?.close();
  }
}

function checkRegular(stats: Stats, path: string): void {
  if (!stats.isFile()) throw refuse(`the operator’s token ${path} is no regular file`);
  if (stats.size > FILE_BYTES) throw refuse(`${path} is too large for a token`);
}

function operatorIn(bytes: Uint8Array, where: string): string {
  try {
    if (bytes.length > FILE_BYTES) throw refuse(`${where} is too large for a token`);
    const text = tokenIn(bytes);
    if (readTrustedOperator(text).token === undefined) throw refuse(`${where} holds a key and no token`);
    return text;
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
