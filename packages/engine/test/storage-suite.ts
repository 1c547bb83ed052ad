import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { CofferError, Storage, StorageEvent, StorageSnapshot } from '../src/index.js';

/** How the suite gets at a driver. */
export interface DriverUnderTest {
  /** A store at `place`, made if there is none. */
  open(place: string): Promise<Storage>;
  /** A place that no store is at, gone after the test. */
  newPlace(): Promise<string>;
}

const key = (text: string) => Buffer.from(text);
const value = (text: string) => Buffer.from(text);

/** What every driver owes the engine; a new one runs it unchanged. */
export function storageSuite(name: string, driver: DriverUnderTest): void {
  describe(`${name}: the contract of Storage`, () => {
    async function withStorage<T>(use: (storage: Storage, place: string) => Promise<T>): Promise<T> {
      const place = await driver.newPlace();
      const storage = await driver.open(place);
      try {
        return await use(storage, place);
      } finally {
        await storage.close();
      }
    }

    /** Closes the store and opens it again, as another process would. */
    async function reopened<T>(
      place: string,
      storage: Storage,
      use: (storage: Storage) => Promise<T>,
    ): Promise<T> {
      await storage.close();
      const again = await driver.open(place);
      try {
        return await use(again);
      } finally {
        await again.close();
      }
    }

    const set = (storage: Storage, at: string, bytes: string | undefined, expectedRevision: number) =>
      storage.commit({
        head: { key: key(at), bytes: bytes === undefined ? undefined : value(bytes) },
        expectedRevision,
      });

    const read = (storage: Storage, at: string) => {
      const record = storage.get(key(at));
      return record && Buffer.from(record.bytes).toString();
    };

    const conflictOf = (promise: Promise<unknown>) =>
      promise.then(
        () => 'no error',
        (error: CofferError) => error.code,
      );

    test('a committed head is there at once, and after the store is opened again', () =>
      withStorage(async (storage, place) => {
        const revision = await set(storage, 'a', 'one', 0);
        expect(read(storage, 'a')).toBe('one');
        expect(storage.get(key('a'))?.revision).toBe(revision);
        await reopened(place, storage, async (again) => {
          expect(read(again, 'a')).toBe('one');
          expect(again.get(key('a'))?.revision).toBe(revision);
        });
      }));

    test('side records come with their head and go with it', () =>
      withStorage(async (storage, place) => {
        const put = [1, 2].map((n) => ({ key: key(`side${n}`), bytes: value(`bulk${n}`) }));
        const first = await storage.commit({
          head: { key: key('h'), bytes: value('x') },
          expectedRevision: 0,
          put,
        });
        expect([read(storage, 'side1'), read(storage, 'side2')]).toEqual(['bulk1', 'bulk2']);
        await storage.commit({
          head: { key: key('h'), bytes: undefined },
          expectedRevision: first,
          remove: [key('side1'), key('side2')],
        });
        await reopened(place, storage, async (again) => {
          expect([read(again, 'h'), read(again, 'side1'), read(again, 'side2')]).toEqual([
            undefined,
            undefined,
            undefined,
          ]);
        });
      }));

    test('a head at another revision is a conflict, and nothing of the change is written', () =>
      withStorage(async (storage) => {
        const revision = await set(storage, 'a', 'one', 0);
        await set(storage, 'a', 'two', revision);
        const late = storage.commit({
          head: { key: key('a'), bytes: value('late') },
          expectedRevision: revision,
          put: [{ key: key('late'), bytes: value('late') }],
        });
        expect(await conflictOf(late)).toBe('conflict');
        expect([read(storage, 'a'), read(storage, 'late')]).toEqual(['two', undefined]);
        expect(await conflictOf(set(storage, 'a', 'new', 0))).toBe('conflict');
        expect(await conflictOf(set(storage, 'b', 'new', revision))).toBe('conflict');
      }));

    test('of two writers at the same moment one wins, and the other is told', () =>
      withStorage(async (storage) => {
        const revision = await set(storage, 'counter', '0', 0);
        const outcomes = await Promise.all(
          ['a', 'b', 'c'].map((who) => conflictOf(set(storage, 'counter', who, revision))),
        );
        expect(outcomes.toSorted()).toEqual(['conflict', 'conflict', 'no error']);
        expect(read(storage, 'counter')).toBe(['a', 'b', 'c'][outcomes.indexOf('no error')]);
      }));

    test('concurrent increments with retries are all counted', () =>
      withStorage(async (storage) => {
        await set(storage, 'counter', '0', 0);
        const increment = async () => {
          for (;;) {
            const record = storage.get(key('counter'));
            const next = Number(Buffer.from(record?.bytes ?? []).toString()) + 1;
            if (
              (await conflictOf(set(storage, 'counter', String(next), record?.revision ?? 0))) === 'no error'
            )
              return;
          }
        };
        await Promise.all(Array.from({ length: 8 }, () => increment().then(increment).then(increment)));
        expect(read(storage, 'counter')).toBe('24');
      }));

    test('revisions grow with every commit to a key, over its removal and over reopening', () =>
      withStorage(async (storage, place) => {
        const one = await set(storage, 'a', 'one', 0);
        const two = await set(storage, 'a', 'two', one);
        await set(storage, 'a', undefined, two);
        await reopened(place, storage, async (again) => {
          const three = await set(again, 'a', 'three', 0);
          expect(two).toBeGreaterThan(one);
          expect(three).toBeGreaterThan(two);
        });
      }));

    test('a scan gives the keys with the prefix, in byte order, and no others', () =>
      withStorage(async (storage) => {
        for (const name of ['b2', 'a', 'b', 'b\xff', 'c', 'b1']) {
          await storage.commit({
            head: { key: Buffer.from(name, 'latin1'), bytes: value('') },
            expectedRevision: 0,
          });
        }
        const found = [...storage.scan(key('b'))].map(([found]) => Buffer.from(found).toString('latin1'));
        expect(found).toEqual(['b', 'b1', 'b2', 'b\xff']);
        expect([...storage.scan(Buffer.alloc(0))]).toHaveLength(6);
      }));

    test('a scan goes on behind a key, whether that is still there or not', () =>
      withStorage(async (storage) => {
        for (const at of ['ba', 'bb', 'bb0', 'bc', 'c']) await set(storage, at, at, 0);
        const behind = (after: string) =>
          [...storage.scan(key('b'), key(after))].map(([found]) => Buffer.from(found).toString());
        expect(behind('bb')).toEqual(['bb0', 'bc']);
        expect(behind('bb00')).toEqual(['bc']);
        expect(behind('bc')).toEqual([]);
      }));

    test('a scan sees one moment, whatever is committed meanwhile', () =>
      withStorage(async (storage) => {
        await Promise.all(['a1', 'a2', 'a3'].map((name) => set(storage, name, 'old', 0)));
        const seen: string[] = [];
        for (const [, record] of storage.scan(key('a'))) {
          if (seen.length === 0) await set(storage, 'a4', 'new', 0);
          seen.push(Buffer.from(record.bytes).toString());
        }
        expect(seen).toEqual(['old', 'old', 'old']);
      }));

    test('a snapshot is one moment, however long it is read, and keeps no writer waiting', () =>
      withStorage(async (storage) => {
        const names = Array.from({ length: 40 }, (_, index) => `k${String(index).padStart(2, '0')}`);
        const side = (at: string, bytes: Uint8Array) => ({ put: [{ key: key(`v${at}`), bytes }] });
        const write = (at: string, bytes: Uint8Array) =>
          storage.commit({
            head: { key: key(at), bytes },
            expectedRevision: storage.get(key(at))?.revision ?? 0,
            ...side(at, bytes),
          });
        const content = (records: Iterable<readonly [Uint8Array, { bytes: Uint8Array; revision: number }]>) =>
          Array.from(records, ([at, { bytes, revision }]) =>
            [Buffer.from(at).toString(), revision, Buffer.from(bytes).toString('latin1', 0, 20)].join(' '),
          );
        await Promise.all(names.map((at) => write(at, value(`first ${at}`))));
        const before = content(storage.scan(Buffer.alloc(0)));
        const { sequence, summary } = storage;
        // A read of the same turn, which an older moment could be shared with.
        read(storage, 'k00');
        const snapshot = storage.snapshot();
        expect(snapshot).toMatchObject({ sequence, summary });

        // Each part is read behind a commit that replaces and removes what the snapshot still has to give, and that makes the
        // store many times larger.
        const seen: string[] = [];
        let after: Uint8Array | undefined;
        for (let round = 0; ; round++) {
          const part = [];
          for (const record of snapshot.scan(Buffer.alloc(0), after)) {
            part.push(record);
            if (part.length === 7) break;
          }
          if (part.length === 0) break;
          seen.push(...content(part));
          after = part.at(-1)?.[0];
          await Promise.all(names.map((at) => write(at, Buffer.alloc(50_000, `round ${round}`))));
          const gone = names.pop() as string;
          await set(storage, gone, undefined, storage.get(key(gone))?.revision ?? 0);
        }
        expect(seen).toEqual(before);
        expect(read(storage, 'k00')).toMatch(/^round/);
        snapshot.close();
        snapshot.close();
        expect(() => snapshot.scan(Buffer.alloc(0))).toThrow('closed');
      }));

    test('snapshots of several moments stand side by side, and end with the store', () =>
      withStorage(async (storage) => {
        const one = await set(storage, 'a', 'one', 0);
        const first = storage.snapshot();
        await set(storage, 'a', 'two', one);
        const [second, third] = [storage.snapshot(), storage.snapshot()];
        const valueIn = (snapshot: StorageSnapshot) =>
          Array.from(snapshot.scan(key('a')), ([, { bytes }]) => Buffer.from(bytes).toString());
        expect([first, second, third].map(valueIn)).toEqual([['one'], ['two'], ['two']]);
        second.close();
        expect([first, third].map(valueIn)).toEqual([['one'], ['two']]);
        await storage.close();
        expect(() => third.scan(key('a'))).toThrow();
        expect(() => storage.snapshot()).toThrow('closed');
      }));

    test('bytes come back as they were, empty and large ones too', () =>
      withStorage(async (storage, place) => {
        const large = Buffer.alloc(3_000_000, 'large');
        await storage.commit({
          head: { key: key('h'), bytes: Buffer.alloc(0) },
          expectedRevision: 0,
          put: [{ key: key('large'), bytes: large }],
        });
        await reopened(place, storage, async (again) => {
          expect(again.get(key('h'))?.bytes).toHaveLength(0);
          expect(Buffer.compare(again.get(key('large'))?.bytes ?? Buffer.alloc(0), large)).toBe(0);
        });
      }));

    test('a reader sees a whole change or none, and never goes back', () =>
      withStorage(async (storage) => {
        let revision = await storage.commit({
          head: { key: key('h'), bytes: value('0') },
          expectedRevision: 0,
          put: [{ key: key('s'), bytes: value('0') }],
        });
        let writing = true;
        const writer = (async () => {
          for (let i = 1; i <= 200; i++) {
            const bytes = value(String(i));
            revision = await storage.commit({
              head: { key: key('h'), bytes },
              expectedRevision: revision,
              put: [{ key: key('s'), bytes }],
            });
            expect(read(storage, 'h')).toBe(String(i));
          }
          writing = false;
        })();
        let last = 0;
        while (writing) {
          const state = [...storage.scan(Buffer.alloc(0))].map(([, { bytes }]) =>
            Buffer.from(bytes).toString(),
          );
          expect(state[0]).toBe(state[1]);
          expect(Number(state[0])).toBeGreaterThanOrEqual(last);
          last = Number(state[0]);
          await new Promise(setImmediate);
        }
        await writer;
      }));

    test('the incarnation belongs to the store: it stays, and no other store has it', () =>
      withStorage(async (storage, place) => {
        const other = await withStorage(async ({ incarnation }) => incarnation);
        expect(Buffer.compare(storage.incarnation, other)).not.toBe(0);
        await reopened(place, storage, async ({ incarnation }) => {
          expect(Buffer.compare(incarnation, storage.incarnation)).toBe(0);
        });
      }));

    test('a watcher is told of every committed head in order, and resumes where it was', () =>
      withStorage(async (storage) => {
        const seen: StorageEvent[] = [];
        const end = storage.watch((event) => seen.push(event));
        await set(storage, 'a', '1', 0);
        await Promise.all([set(storage, 'b', '1', 0), set(storage, 'c', '1', 0)]);
        end();
        await set(storage, 'd', '1', 0);
        const names = (events: StorageEvent[]) =>
          events.map((event) => event.key && Buffer.from(event.key).toString());
        expect(names(seen)).toEqual(['a', 'b', 'c']);
        const resumed: StorageEvent[] = [];
        storage.watch((event) => resumed.push(event), seen[0]?.id)();
        expect(names(resumed)).toEqual(['b', 'c', 'd']);
      }));

    test('a watcher whose id is of another store or unknown is told to start anew', () =>
      withStorage(async (storage) => {
        await set(storage, 'a', '1', 0);
        const seen: StorageEvent[] = [];
        storage.watch((event) => seen.push(event), 'ffffffffffffffffffffffffffffffff-1')();
        expect(seen.map(({ reset }) => reset)).toEqual([true]);
      }));

    test('the sequence counts the changes, and a summary can be written anew without one', () =>
      withStorage(async (storage, place) => {
        let mark = 'early';
        storage.summarise({
          initial: Buffer.alloc(0),
          fold: (digest) => digest,
          seal: (_digest, sequence) => value(`${mark} ${sequence}`),
        });
        await set(storage, 'a', 'one', 0);
        const { sequence } = storage;
        mark = 'late';
        const events: StorageEvent[] = [];
        storage.watch((event) => events.push(event));
        await storage.refreshSummary();
        expect(events).toEqual([]);
        expect(storage.sequence).toBe(sequence);
        await reopened(place, storage, async (again) => {
          expect(again.sequence).toBe(sequence);
          expect(Buffer.from(again.summary ?? []).toString()).toBe(`late ${sequence}`);
        });
      }));

    test('the summary is that of the heads, in the transaction that changed them', () =>
      withStorage(async (storage, place) => {
        // A summary that can be read: the heads themselves, as sorted text.
        const parse = (digest: Uint8Array) =>
          new Map(JSON.parse(Buffer.from(digest).toString()) as [string, string][]);
        storage.summarise({
          initial: value('[]'),
          fold(digest, at, before, after) {
            const heads = parse(digest);
            expect(heads.get(Buffer.from(at).toString())).toBe(before && Buffer.from(before).toString());
            if (after) heads.set(Buffer.from(at).toString(), Buffer.from(after).toString());
            else heads.delete(Buffer.from(at).toString());
            return value(JSON.stringify([...heads].sort()));
          },
          seal: (digest) => digest,
        });
        const a = await set(storage, 'a', '1', 0);
        await Promise.all([
          set(storage, 'b', '1', 0),
          set(storage, 'a', '2', a),
          conflictOf(set(storage, 'a', '9', 0)),
        ]);
        const b = storage.get(key('b'))?.revision ?? 0;
        await set(storage, 'b', undefined, b);
        await reopened(place, storage, async ({ summary }) => {
          expect(parse(summary ?? value('[]'))).toEqual(new Map([['a', '2']]));
        });
      }));

    test('after close a commit is refused, and what was acknowledged before is kept', async () => {
      const place = await driver.newPlace();
      const storage = await driver.open(place);
      const pending = set(storage, 'a', '1', 0);
      await storage.close();
      await pending;
      expect(await conflictOf(set(storage, 'b', '1', 0))).toBe('stopped');
      const again = await driver.open(place);
      expect(read(again, 'a')).toBe('1');
      await again.close();
    });

    test('random histories of commits end in the state of a simple map', async () => {
      const step = fc.record({
        at: fc.constantFrom('a', 'b', 'c'),
        bytes: fc.option(fc.string({ maxLength: 20 }), { nil: undefined }),
        stale: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 40 }), (steps) =>
          withStorage(async (storage, place) => {
            const model = new Map<string, string>();
            for (const { at, bytes, stale } of steps) {
              const revision = storage.get(key(at))?.revision ?? 0;
              if (stale) {
                expect(await conflictOf(set(storage, at, bytes, revision + 1))).toBe('conflict');
                continue;
              }
              await set(storage, at, bytes, revision);
              if (bytes === undefined) model.delete(at);
              else model.set(at, bytes);
            }
            const state = (from: Storage) =>
              new Map(
                ['a', 'b', 'c'].flatMap((at) => (from.get(key(at)) ? [[at, read(from, at)]] : [])) as [
                  string,
                  string,
                ][],
              );
            expect(state(storage)).toEqual(model);
            await reopened(place, storage, async (again) => expect(state(again)).toEqual(model));
          }),
        ),
        { numRuns: 25 },
      );
    });
  });
}
