import { describe, expect, it } from 'vitest';

import { headerGeneration, parseHeader } from '../src/header/format.js';
import { markMoved, movedIn, saysMoved, withoutMark } from '../src/header/moved.js';
import { unwrap } from '../src/header/wrapping.js';
import { HEADER_KEY } from '../src/keys.js';
import { Instances, type TestInstance } from './instances.js';
import { admin, bytes, codeOf, engineOptions, text } from './support.js';

/** Writes the header of the store past all instances, as a move does, or as whoever may write to the bucket. */
async function writeHeader({ store }: Instances, { storage }: TestInstance, header: Uint8Array | undefined) {
  const revision = addHeader(store, header);
  await expect.poll(() => storage.refused ?? storage.get(HEADER_KEY)?.revision).not.toBe(revision);
}

/** @returns at which revision the header was */
function addHeader(store: Instances['store'], header: Uint8Array | undefined): number {
  const revision = store.revisionOf(HEADER_KEY.toString('latin1'));
  store.add('nobody', revision, { head: { key: HEADER_KEY, bytes: header }, expectedRevision: revision });
  store.tellAll();
  return revision;
}

const headerOf = ({ storage }: TestInstance): Buffer => Buffer.from(storage.get(HEADER_KEY)?.bytes ?? []);

/** What a move has at hand. */
async function keysOf(instances: Instances, instance: TestInstance) {
  const { rootKey, ...rest } = engineOptions('', { stateDir: instance.stateDir });
  const context = { stateDir: rest.stateDir, development: false, onNotice: () => undefined };
  const storeId = instance.storage.incarnation;
  const spec = { ...rootKey, path: instances.rootKeyFile } as typeof rootKey;
  return { storeId, ...(await unwrap(storeId, headerOf(instance), spec, context)) };
}

/** The header as a move leaves it. */
async function movedHeader(instances: Instances, instance: TestInstance, bucket?: string): Promise<Buffer> {
  const { ring, storeId } = await keysOf(instances, instance);
  return markMoved(headerOf(instance), { ring, storeId, bucket: bucket ?? instance.storage.shared.bucket });
}

/** The header that a store has when it is moved back. */
const headerBack = async (instances: Instances, instance: TestInstance): Promise<Buffer> =>
  movedIn(headerOf(instance), undefined, await keysOf(instances, instance));

describe('a store that was moved away', () => {
  it('is answered from no more, and not written to', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    await writeHeader(instances, b, await movedHeader(instances, b));
    for (const { engine, fatal, notices } of [a, b]) {
      expect(await codeOf(engine.get(admin, 'db'))).toBe('stopped');
      expect(await codeOf(engine.put(admin, 'db', bytes('two')))).toBe('stopped');
      expect(notices.join()).toContain('moved away');
      expect(fatal).toEqual([]);
      await engine.close();
    }
    await expect(instances.open('a')).rejects.toMatchObject({
      code: 'unfit_store',
      message: expect.stringContaining('moved away'),
    });
  });

  it('comes back with a generation that neither the bucket nor any that was moved has had', async () => {
    const instances = await Instances.make();
    const [a] = await instances.openAll('a');
    const keys = await keysOf(instances, a);
    const header = headerOf(a);
    const found = bytes(JSON.stringify({ ...parseHeader(header), generation: 41 }));
    expect(headerGeneration(await movedIn(header, undefined, keys))).toBe(headerGeneration(header) + 1);
    expect(headerGeneration(await movedIn(header, found, keys))).toBe(42);
  });

  it('is a store again when the move has failed, without a change of keys', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    const header = headerOf(b);
    await b.engine.close();
    await writeHeader(instances, a, await movedHeader(instances, a));
    expect(saysMoved(headerOf(a))).toBe(true);
    expect(withoutMark(headerOf(a))).toEqual(header);
    await writeHeader(instances, a, await headerBack(instances, a));
    await a.engine.close();
    for (const name of ['a', 'b']) {
      const { engine, storage } = await instances.open(name);
      await storage.passed();
      expect(text((await engine.get(admin, 'db')).value)).toBe('one');
      await engine.rotateKeys(admin);
      await engine.put(admin, 'db', bytes('one'));
    }
  });
});

describe('whoever else may write to the bucket', () => {
  const forged = (change: (header: Record<string, unknown>) => object) => (header: Buffer) =>
    Buffer.from(JSON.stringify(change(JSON.parse(header.toString()))));

  it.each([
    ['removes the header', () => undefined],
    ['says that it was moved away', forged((header) => ({ ...header, moved: 'AAAA' }))],
    ['says so with an older proof', forged((header) => ({ ...header, generation: 7, moved: header.moved }))],
    ['says that it was moved away from another bucket', (_: Buffer, other: Buffer) => other],
    ['changes it, and not its generation', forged((header) => ({ ...header, spent: '' }))],
  ])('%s, and no instance follows, nor loses its keys', async (_, forge) => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    const header = headerOf(a);
    const moved = await movedHeader(instances, a);
    await writeHeader(instances, a, forge(moved, await movedHeader(instances, a, 'another')));
    for (const { engine, storage } of [a, b]) {
      expect(storage.refused).toMatchObject({ code: 'tampered' });
      expect(headerOf({ storage } as TestInstance)).toEqual(header);
      expect(text((await engine.get(admin, 'db')).value)).toBe('one');
    }
    await a.engine.close();
    const again = await instances.open('a');
    expect(headerOf(again)).toEqual(header);
  });

  it('puts there again what said so, when the store has been moved back: no instance follows', async () => {
    const instances = await Instances.make();
    const [a] = await instances.openAll('a');
    await a.engine.put(admin, 'db', bytes('one'));
    const moved = await movedHeader(instances, a);
    await writeHeader(instances, a, moved);
    const back = await headerBack(instances, a);
    await a.engine.close();
    addHeader(instances.store, back);
    const [b, c] = await instances.openAll('b', 'c');
    const header = headerOf(b);
    await writeHeader(instances, b, moved);
    for (const { engine, storage } of [b, c]) {
      expect(storage.refused).toMatchObject({ code: 'tampered' });
      expect(headerOf({ storage } as TestInstance)).toEqual(header);
      expect(text((await engine.get(admin, 'db')).value)).toBe('one');
    }
  });

  it('takes back that the store was moved away: no instance follows', async () => {
    const instances = await Instances.make();
    const [a] = await instances.openAll('a');
    const moved = await movedHeader(instances, a);
    await writeHeader(instances, a, moved);
    await writeHeader(instances, a, withoutMark(moved));
    expect(a.storage.refused).toMatchObject({ code: 'tampered' });
    expect(saysMoved(headerOf(a))).toBe(true);
  });

  it('makes no new instance believe that the store was moved', async () => {
    const instances = await Instances.make();
    const [a] = await instances.openAll('a');
    const header = JSON.parse(headerOf(a).toString()) as object;
    await writeHeader(instances, a, Buffer.from(JSON.stringify({ ...header, moved: 'AAAA' })));
    expect(await codeOf(instances.open('new'))).toBe('tampered');
  });
});
