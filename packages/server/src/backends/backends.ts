import type { Logger } from 'pino';
import { type BackendConfig, noticesOf } from '../config/backends.js';
import type { Service } from '../nats/post.js';
import { Backend, type BackendFacts, type BackendParts } from './backend.js';

/** How long the sources may take to end. */
const CLOSE_MS = 5_000;

/**
 * All backends whose secrets lie elsewhere.
 *
 * Life: `open`, then `close`, after the door's.
 */
export class Backends {
  readonly #backends: readonly Backend[];
  readonly #log: Logger;

  /**
   * Opens all of them, or none.
   *
   * @param parts the seeds are the first backend's
   * @throws CofferError as `Backend.open`
   */
  static async open(configs: readonly BackendConfig[], parts: BackendParts): Promise<Backends> {
    const opened: Backend[] = [];
    const { transitSeed, signingSeed, ...shared } = parts;
    for (const sentence of noticesOf(configs)) parts.onNotice(sentence);
    try {
      for (const config of configs) {
        opened.push(await Backend.open(config, opened.length === 0 ? parts : shared));
      }
    } catch (error) {
      await new Backends(opened, parts.log).close();
      throw error;
    }
    return new Backends(opened, parts.log);
  }

  private constructor(backends: readonly Backend[], log: Logger) {
    this.#backends = backends;
    this.#log = log;
  }

  get services(): readonly Service[] {
    return this.#backends;
  }

  get facts(): readonly BackendFacts[] {
    return this.#backends.map(({ facts }) => facts);
  }

  /** Of all of them. */
  get transitKeys(): readonly string[] {
    return this.#backends.flatMap(({ transitKeys }) => transitKeys);
  }

  /** JWKs of what a backend signs with, for everybody to read; without its name, of all. Undefined: it signs nothing. */
  publicKeysOf(name?: string): readonly object[] | undefined {
    if (name === undefined) return this.#backends.flatMap(({ publicKeys }) => publicKeys ?? []);
    return this.#backends.find((backend) => backend.name === name)?.publicKeys;
  }

  /** One that fails in this, or takes too long, holds up nobody. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_MS);
    });
    const closing = this.#backends.map((backend) =>
      backend.close().catch((error: unknown) => {
        const { name: code } = (error ?? {}) as Partial<Error>;
        this.#log.warn({ backend: backend.name, code }, 'this backend did not end as it should');
      }),
    );
    await Promise.race([Promise.all(closing), late]);
    clearTimeout(timer);
  }
}
