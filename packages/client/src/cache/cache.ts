/**
 * Where a {@link Store} keeps its values between two runs of a program: one piece of content, which is opaque to it. It need not be
 * perfect: content that is lost is fetched again.
 */
export interface Cache {
  /** What was last written; undefined if there is nothing. The bytes are wiped after they were read: give a copy. */
  read(): Promise<Uint8Array | undefined> | Uint8Array | undefined;
  /** Replaces it. The bytes are wiped after the promise is settled: keep a copy, not them. */
  write(content: Uint8Array): Promise<void> | void;
}
