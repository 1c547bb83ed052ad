import { fdatasync, ftruncateSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** How many `fdatasync`s may run at once. libuv has four threads, and the store needs one. */
const SYNCS_AT_ONCE = 3;

/**
 * A file that lines are appended to and that several syncs may run on at once.
 *
 * Each sync that runs at the same time has a handle of its own: the kernel tells a write error once to every open file,
 * so that none of them can take another's error for success.
 */
export class LogFile {
  readonly path: string;
  readonly #handles: readonly FileHandle[];
  /** No sync is running on them. */
  readonly #free: FileHandle[];
  #length: number;

  private constructor(path: string, handles: readonly FileHandle[], length: number) {
    this.path = path;
    this.#handles = handles;
    this.#free = [...handles];
    this.#length = length;
  }

  /**
   * Opens the file, or makes it with mode 0600.
   *
   * @param flags `a+`, or `ax+` for a file that must not be there yet
   */
  static async open(path: string, flags: 'a+' | 'ax+'): Promise<LogFile> {
    const handles = [await open(path, flags, 0o600)];
    try {
      while (handles.length < SYNCS_AT_ONCE) handles.push(await open(path, 'a'));
      const { size } = await (handles[0] as FileHandle).stat();
      return new LogFile(path, handles, size);
    } catch (error) {
      for (const handle of handles) await handle.close();
      throw error;
    }
  }

  /** For reading; what is written goes through {@link append}. */
  get handle(): FileHandle {
    return this.#handles[0] as FileHandle;
  }

  /** Bytes. */
  get length(): number {
    return this.#length;
  }

  /** Whether one more sync can begin. */
  get canSync(): boolean {
    return this.#free.length > 0;
  }

  /** Whether no sync is running. */
  get quiet(): boolean {
    return this.#free.length === this.#handles.length;
  }

  /** Throws what the operating system says; then some of the bytes may be there, and {@link takeBack} cuts them off. */
  append(bytes: Buffer): void {
    for (let offset = 0; offset < bytes.length; ) {
      offset += writeSync(this.handle.fd, bytes, offset);
    }
    this.#length += bytes.length;
  }

  /** Cuts off what an {@link append} that failed left behind. */
  takeBack(): void {
    ftruncateSync(this.handle.fd, this.#length);
  }

  /** Cuts the file to its first `length` bytes, durably. */
  async cut(length: number): Promise<void> {
    await this.handle.truncate(length);
    await this.handle.datasync();
    this.#length = length;
  }

  /** Makes durable what was appended before. Only where {@link canSync}. */
  sync(done: (error: Error | null) => void): void {
    const handle = this.#free.pop() as FileHandle;
    fdatasync(handle.fd, (error) => {
      this.#free.push(handle);
      done(error);
    });
  }

  async close(): Promise<void> {
    for (const handle of this.#handles) await handle.close();
  }
}
