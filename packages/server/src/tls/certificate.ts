import { stat } from 'node:fs/promises';
import type { SecureContextOptions } from 'node:tls';
import type { Logger } from 'pino';
import { day, readTlsPair, secureContext, type TlsFiles, type TlsPair } from './pair.js';

/** What a listening server takes a certificate by: node's `tls.Server` has it. */
export interface SecureServer {
  setSecureContext(options: SecureContextOptions): void;
}

export interface CertificateOptions {
  readonly log: Logger;
  /** A sentence that a person should read: the certificate ends soon. */
  readonly onNotice: (sentence: string) => void;
  /** How often the files are looked at, in milliseconds; default 1 s. */
  readonly pollMs?: number;
  readonly now?: () => Date;
}

const POLL_MS = 1_000;
/** Said again after this time, as long as it is true. */
const REMIND_MS = 24 * 60 * 60 * 1000;

/**
 * The certificate that a server shows, as its files have it: they are looked at again and again, since a renewal is a
 * file written anew, renamed, or a link that points elsewhere, and no event tells of all of these. A pair that cannot be
 * used changes nothing.
 *
 * Life: `open`, `serve`, then `close`.
 */
export class Certificate {
  readonly #options: CertificateOptions;
  readonly #timer: NodeJS.Timeout;
  #files: TlsFiles;
  #pair: TlsPair;
  /** Of the files as the pair in use was read from them. */
  #state: string;
  #server: SecureServer | undefined;
  /** Of the files as they could not be used; a renewal that is under way looks like that for a moment. */
  #broken: { readonly state: string; said: boolean } | undefined;
  #remindAt = 0;
  #checking: Promise<unknown> = Promise.resolve();
  #looking = false;

  private constructor(files: TlsFiles, pair: TlsPair, state: string, options: CertificateOptions) {
    this.#files = files;
    this.#pair = pair;
    this.#state = state;
    this.#options = options;
    this.#timer = setInterval(() => void this.#look(), options.pollMs ?? POLL_MS);
    this.#timer.unref();
  }

  /** @throws CofferError `invalid_argument`, one sentence: the pair cannot be used. */
  static async open(files: TlsFiles, options: CertificateOptions): Promise<Certificate> {
    const now = options.now?.() ?? new Date();
    const state = await stateOf(files);
    const pair = await readTlsPair(files, now);
    const certificate = new Certificate(files, pair, state, options);
    if (pair.validTo.getTime() - now.getTime() < pair.notice) {
      certificate.#remindAt = now.getTime() + REMIND_MS;
      options.onNotice(
        `The TLS certificate ${files.cert} expires on ${day(pair.validTo)}: renew it before then.`,
      );
    }
    return certificate;
  }

  /** Shows the certificate to whoever connects from now on. */
  serve(server: SecureServer): void {
    this.#server = server;
    this.#show();
  }

  get validTo(): Date {
    return this.#pair.validTo;
  }

  /**
   * Reads the files now, or others, which are then looked at in place of these.
   *
   * @returns what shows the new pair, and tells whether it is another certificate than before
   * @throws CofferError `invalid_argument`: the pair cannot be used, and nothing has changed
   */
  prepare(files: TlsFiles = this.#files): Promise<() => boolean> {
    return this.#inTurn(() => this.#load(files));
  }

  close(): void {
    clearInterval(this.#timer);
    this.#pair.key.fill(0);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#checking.then(work);
    this.#checking = done.catch(() => undefined);
    return done;
  }

  async #load(files: TlsFiles): Promise<() => boolean> {
    const { now } = this.#options;
    // Before the files are read: what changes meanwhile is then seen the next time.
    const state = await stateOf(files);
    const pair = await readTlsPair(files, now?.() ?? new Date());
    return () => this.#install(files, pair, state);
  }

  #install(files: TlsFiles, pair: TlsPair, state: string): boolean {
    const changed = pair.fingerprint !== this.#pair.fingerprint;
    this.#files = files;
    this.#state = state;
    this.#broken = undefined;
    this.#pair.key.fill(0);
    this.#pair = pair;
    this.#remindAt = 0;
    this.#show();
    if (changed) {
      const { validTo, fingerprint } = pair;
      this.#options.log.info({ validTo, fingerprint }, 'a new TLS certificate is in use');
    }
    return changed;
  }

  /** A disk that does not answer is not asked again until it does. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    await this.#inTurn(() => this.#poll());
    this.#looking = false;
  }

  async #poll(): Promise<void> {
    const state = await stateOf(this.#files);
    if (state !== this.#state && !(this.#broken?.said && this.#broken.state === state)) {
      await this.#load(this.#files).then(
        (install) => install(),
        (error: Error) => this.#refused(state, error),
      );
    }
    this.#remind();
  }

  /** Said when the files have been like that twice, so that a renewal between two writes alarms nobody. */
  #refused(state: string, { message }: Error): void {
    const said = this.#broken?.state === state;
    this.#broken = { state, said };
    if (said) {
      this.#options.log.error(
        { reason: message },
        'the TLS files have changed and cannot be used: the old pair stays',
      );
    }
  }

  #remind(): void {
    const { log, now } = this.#options;
    const time = (now?.() ?? new Date()).getTime();
    const { validTo, notice } = this.#pair;
    const left = validTo.getTime() - time;
    if (left >= notice || time < this.#remindAt) return;
    this.#remindAt = time + REMIND_MS;
    if (left > 0) log.warn({ validTo }, 'the TLS certificate expires soon');
    else log.error({ validTo }, 'the TLS certificate has expired');
  }

  #show(): void {
    if (this.#server === undefined) return;
    this.#server.setSecureContext(secureContext(this.#pair));
    // OpenSSL has its own copy now.
    this.#pair.key.fill(0);
  }
}

/** Changes whenever one of the files does, is another file, or is not there. */
async function stateOf({ cert, key }: TlsFiles): Promise<string> {
  const states = await Promise.all(
    [cert, key].map((path) => stat(path, { bigint: true }).catch(() => undefined)),
  );
  return states.map((one) => one && [one.dev, one.ino, one.size, one.ctimeNs].join(':')).join('|');
}
