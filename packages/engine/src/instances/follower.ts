import type { Catalog } from '../catalog.js';
import { tampered } from '../crypto/records.js';
import type { CofferError } from '../errors.js';
import type { StoreHeader } from '../header/store-header.js';
import { HEAD_PREFIX, HEADER_KEY } from '../keys.js';
import type { Manifest } from '../manifest.js';
import type { Admission, Freshness, IncomingHead, SharedStorage } from '../storage/shared.js';
import type { Storage, StorageEvent } from '../storage/storage.js';
import { requireStore } from './moved-away.js';

/** Between two looks at what did not fit together, in milliseconds: what it lacks is on its way. */
const LOOK_AGAIN = 10;
/** After so many of them a person should know. */
const LOOKS = 1_000;

/** What of a store others change. */
export interface Followed {
  readonly header: StoreHeader;
  readonly catalog: Catalog;
  readonly manifest: Manifest;
}

export interface FollowerParts {
  readonly storage: Storage;
  readonly shared: SharedStorage;
  onNotice(sentence: string): void;
  /** The store was moved away: nothing may be answered from here any more. */
  onGone(error: CofferError): void;
}

/**
 * Keeps what an instance holds in memory as the shared store is. Everything goes this way, this instance's own changes too, in the
 * order of the commits: each is looked at before it is visible, and taken over in the turn in which it is.
 */
export class Follower implements Admission {
  /** The storage's, but not newer than what is taken over: what lies in the replica and could not be read yet does not count. */
  readonly freshness: Freshness;
  readonly #parts: FollowerParts;
  readonly #unwatch: () => void;
  #followed: Followed | undefined;
  /** The mark when something came that does not fit together yet. */
  #heldAt: number | undefined;
  #lookingAgain: NodeJS.Timeout | undefined;
  #looks = 0;
  #isFollowing = false;
  #closed = false;
  #onWhole: () => void = () => undefined;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
    const { freshness } = parts.shared;
    const mark = () => this.#heldAt ?? freshness.mark();
    this.freshness = {
      mark,
      require: (at) => freshness.require(at),
      ready: () => {
        const ready = freshness.ready();
        if (ready || this.#heldAt === undefined) return ready;
        return freshness.require(this.#heldAt);
      },
      // The storage's clock goes on while the machine sleeps.
      age: () => freshness.age() + Math.max(0, freshness.mark() - mark()),
    };
    this.#unwatch = parts.storage.watch((event) => this.#take(event));
  }

  /** Lets everything pass until it {@link begin}s: a store that is being made has nothing to hold it against. */
  letPass(): void {
    this.#isFollowing = true;
    this.#parts.shared.follow(this);
  }

  /** From now on all is looked at and taken over. What these hold must be what the replica has at this moment. */
  begin(followed: Followed): void {
    this.#followed = followed;
    if (!this.#isFollowing) this.#parts.shared.follow(this);
    this.#isFollowing = true;
    this.#look();
  }

  /** Resolves when all that is in the replica could be taken over. */
  async whole(): Promise<void> {
    while (this.#heldAt !== undefined && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#onWhole = resolve;
      });
    }
  }

  get problem(): CofferError | undefined {
    return this.#followed?.header.problem;
  }

  async lacksRootKey(): Promise<boolean> {
    return (await this.#followed?.header.findRootKey()) === false;
  }

  async admit(heads: readonly IncomingHead[], signal?: AbortSignal): Promise<void> {
    if (!this.#followed) return;
    const { header, catalog, manifest } = this.#followed;
    for (const head of heads) {
      if (HEADER_KEY.equals(head.key)) await header.admit(head, signal);
      else if (manifest.isAt(head.key)) manifest.admit(head);
      else if (isSecret(head.key)) catalog.admit(head);
      // A move into the bucket leaves the mark of one that it removed.
      else if (head.after) throw tampered(head.key);
    }
  }

  authenticate(message: Uint8Array): Uint8Array | undefined {
    return this.#followed?.header.ring.authenticate(message);
  }

  close(): void {
    this.#closed = true;
    this.#unwatch();
    this.#followed?.header.stopWaiting();
    clearTimeout(this.#lookingAgain);
    this.#onWhole();
  }

  #take({ key, reset }: StorageEvent): void {
    if (!this.#followed) return;
    const { header, catalog, manifest } = this.#followed;
    try {
      if (reset) {
        this.#takeAll(this.#followed);
        this.#lookForStore();
      } else if (!key) return;
      else if (isSecret(key)) catalog.takeOver(key);
      else if (manifest.isAt(key)) manifest.takeOver();
      else if (HEADER_KEY.equals(key)) {
        header.takeOver();
        catalog.prove();
        this.#lookForStore();
      }
    } catch (error) {
      // It was let in, so the disk has it otherwise than it came: whoever asks for it is told.
      this.#parts.onNotice((error as Error).message);
    }
    this.#look();
  }

  #lookForStore(): void {
    try {
      requireStore(this.#parts.storage);
    } catch (error) {
      this.#parts.onGone(error as CofferError);
    }
  }

  #takeAll({ header, catalog, manifest }: Followed): void {
    header.takeOver();
    catalog.takeOverAll();
    manifest.takeOver();
  }

  /** Holds the freshness where it is while something does not fit, and looks again until it does. */
  #look(): void {
    if (!this.#followed || this.#closed) return;
    const { catalog, manifest } = this.#followed;
    if (manifest.takeOver() && catalog.isWhole) {
      this.#heldAt = undefined;
      this.#looks = 0;
      this.#onWhole();
      return;
    }
    this.#heldAt ??= this.#parts.shared.freshness.mark();
    if (++this.#looks === LOOKS) {
      this.#parts.onNotice(
        'The replica of the shared store does not fit together: what it lacks has not come, or was damaged. Nothing that is ' +
          'newer is read here until it does; if it lasts, stop this instance, remove its replica (the folder “store”), and start it ' +
          `again; it is a new one then, so forget the old one (“coffer storage forget ${this.#parts.shared.instance}”).`,
      );
    }
    clearTimeout(this.#lookingAgain);
    this.#lookingAgain = setTimeout(() => this.#look(), LOOK_AGAIN);
    this.#lookingAgain.unref();
  }
}

const isSecret = (key: Uint8Array): boolean => key[0] === HEAD_PREFIX[0];
