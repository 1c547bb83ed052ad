import sodium from 'sodium-native';

import { secureBuffer, wipe } from './secure-memory.js';

/**
 * libsodium's secretstream (XChaCha20-Poly1305): messages that can only be opened whole, each once, in their order, up to
 * one that says that it is the last.
 */
const {
  crypto_secretstream_xchacha20poly1305_ABYTES: OVERHEAD,
  crypto_secretstream_xchacha20poly1305_HEADERBYTES: HEADER_BYTES,
} = sodium;

export { HEADER_BYTES as STREAM_HEADER_BYTES, OVERHEAD as STREAM_OVERHEAD };

/** As sodium-native 5 has it; the types that are published describe an older one. */
const native = sodium as unknown as {
  readonly crypto_secretstream_xchacha20poly1305_STATEBYTES: number;
  readonly crypto_secretstream_xchacha20poly1305_TAG_MESSAGE: number;
  readonly crypto_secretstream_xchacha20poly1305_TAG_FINAL: number;
  crypto_secretstream_xchacha20poly1305_init_push(state: Buffer, header: Buffer, key: Buffer): void;
  crypto_secretstream_xchacha20poly1305_init_pull(state: Buffer, header: Buffer, key: Buffer): void;
  crypto_secretstream_xchacha20poly1305_push(
    state: Buffer,
    sealed: Buffer,
    message: Buffer,
    associatedData: Buffer,
    tag: number,
  ): number;
  crypto_secretstream_xchacha20poly1305_pull(
    state: Buffer,
    message: Buffer,
    tag: Buffer,
    sealed: Buffer,
    associatedData: Buffer,
  ): number;
};
const {
  crypto_secretstream_xchacha20poly1305_STATEBYTES: STATE_BYTES,
  crypto_secretstream_xchacha20poly1305_TAG_MESSAGE: TAG_MESSAGE,
  crypto_secretstream_xchacha20poly1305_TAG_FINAL: TAG_FINAL,
} = native;

/** Seals a stream. Every message is bound to the same associated data. */
export class SecretStreamSealer {
  /** What the reader needs first; not secret. */
  readonly header = Buffer.alloc(HEADER_BYTES);
  readonly #state = secureBuffer(STATE_BYTES);
  readonly #associatedData: Buffer;

  constructor(key: Buffer, associatedData: Buffer) {
    this.#associatedData = associatedData;
    native.crypto_secretstream_xchacha20poly1305_init_push(this.#state, this.header, key);
  }

  /** Writes the sealed message, `STREAM_OVERHEAD` longer than it, into `sealed`. */
  sealInto(sealed: Buffer, message: Buffer, last: boolean): void {
    const tag = last ? TAG_FINAL : TAG_MESSAGE;
    native.crypto_secretstream_xchacha20poly1305_push(
      this.#state,
      sealed,
      message,
      this.#associatedData,
      tag,
    );
  }

  wipe(): void {
    wipe(this.#state);
  }
}

export class SecretStreamOpener {
  readonly #state = secureBuffer(STATE_BYTES);
  readonly #associatedData: Buffer;
  readonly #tag = Buffer.alloc(1);

  constructor(key: Buffer, header: Buffer, associatedData: Buffer) {
    this.#associatedData = associatedData;
    native.crypto_secretstream_xchacha20poly1305_init_pull(this.#state, header, key);
  }

  /** The next message; undefined if this is not what was sealed next. */
  open(sealed: Buffer): { readonly message: Buffer; readonly last: boolean } | undefined {
    if (sealed.length < OVERHEAD) return undefined;
    const message = Buffer.allocUnsafe(sealed.length - OVERHEAD);
    try {
      native.crypto_secretstream_xchacha20poly1305_pull(
        this.#state,
        message,
        this.#tag,
        sealed,
        this.#associatedData,
      );
    } catch {
      return undefined;
    }
    return { message, last: this.#tag[0] === TAG_FINAL };
  }

  wipe(): void {
    wipe(this.#state);
  }
}
