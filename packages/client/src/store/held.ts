import type { CachedSecret, CachedValue } from '../cache/content.js';
import type { Secret } from '../secret/secret.js';
import { SecretBytes } from '../secret/secret-bytes.js';
import type { SecretInfo } from '../types.js';
import { storeClosed } from './waiting.js';

/** For so long the watch is believed rather than an answer. */
const AHEAD_MS = 60_000;

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
  /** How many keyrings it has: with one, all versions are held. */
  keyrings = 0;
  /** The numbers of the versions, as the watch told them last. */
  told: readonly number[] | undefined;
  /** How often the watch told of it. */
  changes = 0;
  /** When it was first held, in milliseconds since 1970. */
  readonly since: number;
  /** The active version that the watch told of, until an answer agrees or it is too long ago. */
  #news: { readonly version: number; readonly until: number } | undefined;
  /** Versions that are being fetched. */
  readonly loading = new Map<number, Promise<void>>();
  readonly #onRead: OnRead;
  #handle: WeakRef<Secret> | undefined;

  constructor(name: string, since: number, onRead: OnRead) {
    this.name = name;
    this.since = since;
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

  /** Somebody has a handle, or a keyring. */
  get inUse(): boolean {
    return this.#handle?.deref() !== undefined || this.keyrings > 0;
  }

  /** The watch told of something that no answer has shown yet: whoever answers may be behind, or no server at all. */
  get ahead(): boolean {
    return this.#news !== undefined && performance.now() < this.#news.until;
  }

  /** The watch tells of it: of what it is now, if it says that. */
  hear(info?: SecretInfo): void {
    this.changes++;
    this.told = info?.versions;
    this.#news = info && { version: info.activeVersion, until: performance.now() + AHEAD_MS };
  }

  /** An answer came: the watch is ahead no more if that is what it told of. */
  agree(): void {
    if (!this.wanted || this.secret?.version === this.#news?.version) this.#news = undefined;
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

  /** Takes over the value of a version. */
  keep(version: number, value: SecretBytes): void {
    this.drop(version);
    this.versions.set(version, value);
  }

  drop(version: number): void {
    this.versions.get(version)?.wipe();
    this.versions.delete(version);
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

  toString(): string {
    return `${this.name} (version ${this.#held.secret?.version ?? 'none'})`;
  }

  toJSON(): object {
    return { name: this.name, version: this.#held.secret?.version };
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return this.toJSON();
  }
}
