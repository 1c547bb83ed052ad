import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A file system of its own, in memory, that is full when its test says so. Needs root. */
export class SmallDisk implements Disposable {
  /** Over the folder `place`, which is made if it is not there. */
  static mount(place: string, kib: number): SmallDisk {
    mkdirSync(place, { recursive: true });
    const { status, stderr } = spawnSync(
      'mount',
      ['-t', 'tmpfs', '-o', `size=${kib}k,mode=700`, 'tmpfs', place],
      {
        encoding: 'utf8',
      },
    );
    if (status !== 0) throw new Error(`this test mounts a tmpfs and needs to be root: ${stderr}`);
    return new SmallDisk(place);
  }

  readonly place: string;
  readonly #ballast: string;

  private constructor(place: string) {
    this.place = place;
    this.#ballast = join(place, 'ballast');
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.place);
    return bavail * bsize;
  }

  /** So that no more than so many bytes are left. */
  fill(leave = 0): void {
    const bytes = this.freeBytes - leave;
    if (bytes > 0) writeFileSync(this.#ballast, Buffer.alloc(bytes, 1), { flag: 'a' });
  }

  /** Takes away what filled it. */
  empty(): void {
    rmSync(this.#ballast, { force: true });
  }

  [Symbol.dispose](): void {
    spawnSync('umount', ['-l', this.place]);
  }
}
