import type { CachedSecret, CachedValue } from '../cache/content.js';
import type { Secret } from '../secret/secret.js';
import { SecretBytes } from '../secret/secret-bytes.js';
import { storeClosed } from './waiting.js';

/** Keeps something else than the active value of a secret fresh: its versions. */
export interface Follower {
  /** Called for each secret of a round, when the active values have been taken. What it rejects with is the secret's failure. */
  sync(signal: AbortSignal): Promise<void>;
}

/** Told whenever a value is read. */
export type OnRead = (held: Held) => void;

/** One secret's place in a store. Its values live here and nowhere else, and are wiped when others take their place. */
export class Held implements CachedSecret {
  readonly name: string;
  /** The program said at the start that it needs it: it never expires. */
  declared = false;
  /** The active value is kept fresh. */
  wanted = false;
  /** The server refused it: it is not to be cached. */
  refused = false;
  /** The number of the version does not tell whether the value is another: the secret may have been deleted and made anew. */
  doubtful = false;
  secret: CachedValue | undefined;
  versions = new Map<number, SecretBytes>();
  lastAccess = 0;
  checkedAt: number | undefined;
  readonly followers = new Set<Follower>();
  readonly #onRead: OnRead;
  #handle: WeakRef<Secret> | undefined;

  constructor(name: string, onRead: OnRead) {
    this.name = name;
    this.#onRead = onRead;
  }

  /** The same one as long as somebody has it. */
  get handle(): Secret {
    let handle = this.#handle?.deref();
    if (!handle) {
      handle = new Handle(this, this.#onRead);
      this.#handle = new WeakRef(handle);
    }
    return handle;
  }

  /** Somebody has a handle, or something is kept fresh. */
  get inUse(): boolean {
    return this.#handle?.deref() !== undefined || this.followers.size > 0;
  }

  /** Takes over an active value; false if it is no other. */
  take(version: number, value: SecretBytes): boolean {
    const old = this.secret;
    if (old?.version === version && Buffer.compare(old.value, value) === 0) {
      value.wipe();
      return false;
    }
    this.secret = { version, value };
    old?.value.wipe();
    return true;
  }
}

class Handle implements Secret {
  readonly #held: Held;
  readonly #onRead: OnRead;

  constructor(held: Held, onRead: OnRead) {
    this.#held = held;
    this.#onRead = onRead;
  }

  get name(): string {
    return this.#held.name;
  }

  get version(): number {
    return this.#current.version;
  }

  get(): SecretBytes {
    return SecretBytes.copyOf(this.#read());
  }

  reveal(): string {
    return this.#read().reveal();
  }

  #read(): SecretBytes {
    const { value } = this.#current;
    this.#onRead(this.#held);
    return value;
  }

  get #current(): CachedValue {
    if (!this.#held.secret) throw storeClosed();
    return this.#held.secret;
  }

  toJSON(): object {
    return { name: this.name, version: this.#held.secret?.version };
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return this.toJSON();
  }
}
