import { describe, expect, test } from 'vitest';
import { Failure } from '../src/failure.js';
import { Wholes } from '../src/transfer/vault/wholes.js';

/** JSON objects that are read by name, with all that was handed out. */
class Shelf {
  readonly read: string[] = [];
  readonly out: Uint8Array[] = [];
  readonly wholes: Wholes;

  constructor(mostBytes?: number) {
    this.wholes = new Wholes(mostBytes);
  }

  async entry(name: string, key = 'a'): Promise<string | undefined> {
    const read = async () => {
      this.read.push(name);
      const bytes = Buffer.from(`{"a":"a of ${name}","b":"b of ${name}"}`);
      this.out.push(bytes);
      return bytes;
    };
    return this.wholes.use(name, read, (members) => {
      const json = members.get(key);
      return json && JSON.parse(Buffer.from(json).toString());
    });
  }

  get wiped(): boolean[] {
    return this.out.map((bytes) => bytes.every((byte) => byte === 0));
  }
}

describe('an object that entries are taken from', () => {
  test('is read once for all who ask, at the same time and later', async () => {
    const shelf = new Shelf();
    const keys = ['a', 'b', 'c', 'a'];
    expect(await Promise.all(keys.map((key) => shelf.entry('x', key)))).toEqual([
      'a of x',
      'b of x',
      undefined,
      'a of x',
    ]);
    expect(await shelf.entry('x', 'b')).toBe('b of x');
    expect(shelf.read).toEqual(['x']);
    shelf.wholes[Symbol.dispose]();
    expect(shelf.wiped).toEqual([true]);
  });

  test('gives way to others, the one that was asked for longest ago first, and is wiped', async () => {
    const shelf = new Shelf(2 * '{"a":"a of x","b":"b of x"}'.length);
    for (const name of ['x', 'y', 'x', 'z']) await shelf.entry(name);
    expect(shelf.wiped).toEqual([false, true, false]);
    expect(await shelf.entry('x')).toBe('a of x');
    expect(await shelf.entry('y')).toBe('a of y');
    expect(shelf.read).toEqual(['x', 'y', 'z', 'y']);
  });

  test('is wiped by nobody while it is in use, however little room there is', async () => {
    const shelf = new Shelf(0);
    const asked = ['x', 'y', 'x', 'z', 'y'].map((name) => shelf.entry(name));
    expect(await Promise.all(asked)).toEqual(['a of x', 'a of y', 'a of x', 'a of z', 'a of y']);
    expect(shelf.wiped).toEqual([true, true, true]);
  });

  test('is read again after it could not be', async () => {
    const wholes = new Wholes();
    const reads = [Promise.reject(new Failure('not now')), Promise.resolve(Buffer.from('{"a":1}'))];
    const size = () =>
      wholes.use(
        'x',
        () => reads.shift() as Promise<Uint8Array>,
        (members) => members.size,
      );
    const both = [size(), size()];
    for (const one of both) await expect(one).rejects.toThrow('not now');
    expect(await size()).toBe(1);
  });
});
