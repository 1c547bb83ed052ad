import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import type { Client } from '@coffer/client';
import { Admin } from '@coffer/client/admin';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CANARY } from '../support/canary.mjs';

import { TemporaryFolder } from '../support/processes.mjs';
import { SmallDisk } from '../support/small-disk.js';
import { clientOf, expectSoundAudit, launch, outcomeOf, urlOf } from './server.js';

const DELAY_MS = 700;

/**
 * Runs the server so that each `fdatasync` of one file fares as `fault` says (strace's `inject`). With `-D` the server, not
 * strace, is the process that we start, signal and wait for.
 */
const faulty = (path: string, fault: string) => [
  'strace',
  ...[
    '-D',
    '-f',
    '-q',
    '-o',
    '/dev/null',
    '-P',
    path,
    '-e',
    'trace=fdatasync',
    '-e',
    `inject=fdatasync:${fault}`,
  ],
];

/** A folder with a store that holds `kept` with the value `old`, so that strace finds its files. */
async function folderWithStore(): Promise<TemporaryFolder> {
  const folder = new TemporaryFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  await using server = launch(folder);
  await clientOf(await urlOf(server)).put('kept', Buffer.from('old'));
  return folder;
}

const read = async (client: Client, name: string) => Buffer.from((await client.get(name)).value).toString();

async function timed<T>(call: Promise<T>): Promise<{ result: T; ms: number }> {
  const start = performance.now();
  const result = await call;
  return { result, ms: performance.now() - start };
}

describe('a slow fdatasync', () => {
  test("of the store's file: nobody reads the change, and it is not acknowledged, before it is over", async () => {
    const folder = await folderWithStore();
    const store = folder.join('state', 'store', 'data.mdb');
    await using server = launch(folder, { under: faulty(store, `delay_enter=${DELAY_MS * 1_000}`) });
    const client = clientOf(await urlOf(server));

    const start = performance.now();
    let acknowledged = false;
    const change = timed(client.createVersion('kept', 2, Buffer.from('new'))).then((done) => {
      acknowledged = true;
      return done;
    });
    const early: string[] = [];
    while (!acknowledged) {
      const value = await read(client, 'kept');
      if (performance.now() - start < DELAY_MS) early.push(value);
    }
    const { ms } = await change;
    expect(ms).toBeGreaterThanOrEqual(DELAY_MS);
    // Enough reads went by while the disk was busy, and none of them saw what was not yet on it.
    expect(early.length).toBeGreaterThan(5);
    expect(new Set(early)).toEqual(new Set(['old']));
    expect(await read(client, 'kept')).toBe('new');
  });

  test('of the audit log: nothing is answered before it is over', async () => {
    const folder = await folderWithStore();
    const log = folder.join('state', 'audit', 'audit.log');
    await using server = launch(folder, { under: faulty(log, `delay_enter=${DELAY_MS * 1_000}`) });
    const client = clientOf(await urlOf(server));
    expect((await timed(client.get('kept'))).ms).toBeGreaterThanOrEqual(DELAY_MS);
    expect((await timed(outcomeOf(client.info('unknown')))).ms).toBeGreaterThanOrEqual(DELAY_MS);
    // Intent and outcome.
    expect((await timed(client.put('fresh', Buffer.from('1')))).ms).toBeGreaterThanOrEqual(2 * DELAY_MS);
  });

  test('and a kill while it lasts: the change that was never acknowledged is whole or absent', async () => {
    const folder = await folderWithStore();
    const store = folder.join('state', 'store', 'data.mdb');
    const server = launch(folder, { under: faulty(store, `delay_enter=${DELAY_MS * 1_000}`) });
    const client = clientOf(await urlOf(server));
    const change = outcomeOf(client.createVersion('kept', 2, Buffer.from('new')));
    // One answered read later the change has long been under way.
    await read(client, 'kept');
    await server.kill();
    expect(await change).toEqual({ code: 'unreachable' });

    await using again = launch(folder);
    const reader = clientOf(await urlOf(again));
    const { versions, activeVersion } = await reader.info('kept');
    expect([[1], [1, 2]]).toContainEqual(versions);
    expect(await read(reader, 'kept')).toBe(activeVersion === 1 ? 'old' : 'new');
    await expectSoundAudit(reader, folder.join('state'));
  });
});

describe('a failed fdatasync', () => {
  test.each([
    ["the store's file", ['store', 'data.mdb']],
    ['the audit log', ['audit', 'audit.log']],
  ])('of %s stops the server with a sentence, and nothing acknowledged is gone', async (_, path) => {
    const folder = await folderWithStore();
    const under = faulty(folder.join('state', ...path), 'error=EIO:when=6+');
    const server = launch(folder, { under });
    const client = clientOf(await urlOf(server));
    const acknowledged: string[] = [];
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let i = 0; ; i++) {
        const name = `w${writer}/${i}`;
        const outcome = await outcomeOf(client.put(name, Buffer.from(name)));
        if ('code' in outcome) return outcome.code;
        acknowledged.push(name);
      }
    });
    const codes = await Promise.all(writers);
    // The process ends before it could tell anybody that something went wrong.
    expect(new Set(codes)).toEqual(new Set(['unreachable']));
    const { code } = await server.exited;
    expect(code).toBe(1);
    // lmdb-js prints the error of a failed commit on its own; the last word is ours.
    const last = server.output.trimEnd().split('\n').at(-1);
    expect(last).toMatch(/^coffer: .* could not be written durably .* the server stops/);

    await using again = launch(folder);
    const reader = clientOf(await urlOf(again));
    for (const name of acknowledged) expect(await read(reader, name)).toBe(name);
    expect(await read(reader, 'kept')).toBe('old');
    await expectSoundAudit(reader, folder.join('state'));
  });
});

describe('a full disk', () => {
  /** A file system of `kib` KiB in the folder, unmounted after the test. */
  function smallFileSystem(folder: TemporaryFolder, kib: number): string {
    const disk = SmallDisk.mount(folder.join('small'), kib);
    onTestFinished(() => disk[Symbol.dispose]());
    return disk.place;
  }

  test.each([
    ['to the last byte', 0],
    ['down to the floor that is kept free', 1024 * 1024],
  ])('%s answers 503 and goes on when there is room', async (_, minFreeBytes) => {
    const folder = new TemporaryFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const place = smallFileSystem(folder, 6 * 1024);
    const ballast = `${place}/ballast`;
    writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024, 1));
    const stateDir = `${place}/state`;
    const config = `storage:\n  minFreeBytes: ${minFreeBytes}\n`;
    await using server = launch(folder, { stateDir, config });
    const client = clientOf(await urlOf(server));

    const value = Buffer.alloc(50_000, CANARY);
    const acknowledged: string[] = [];
    for (let i = 0; i < 1_000; i++) {
      const outcome = await outcomeOf(client.put(`big/${i}`, value));
      if ('code' in outcome) {
        expect(outcome.code, server.output).toBe('storage_full');
        break;
      }
      acknowledged.push(`big/${i}`);
    }
    expect(acknowledged.length).toBeGreaterThan(5);
    expect(acknowledged.length).toBeLessThan(1_000);
    const health = await fetch(`${await urlOf(server)}/healthz`);
    expect(health.status).toBe(200);

    if (minFreeBytes > 0) {
      // The floor leaves the audit log room: who only reads is served.
      for (const name of acknowledged) expect((await client.get(name)).value).toHaveLength(value.length);
    } else {
      // Until the audit log cannot be written either: then nothing is revealed.
      writeFileSync(`${place}/rest`, '');
      spawnSync('dd', ['if=/dev/zero', `of=${place}/rest`, 'bs=4k']);
      const codes = new Set<string>();
      for (let i = 0; i < 100; i++) {
        const outcome = await outcomeOf(client.get(acknowledged[0] as string));
        codes.add('code' in outcome ? outcome.code : 'read');
      }
      expect(codes).toContain('storage_full');
      expect([...codes].filter((code) => code !== 'storage_full' && code !== 'read')).toEqual([]);
      rmSync(`${place}/rest`);
    }

    rmSync(ballast);
    // The server looks at the disk anew within a moment; until then it may still refuse.
    await expect.poll(() => outcomeOf(client.put('after', value)), { timeout: 10_000 }).toEqual({ value: 1 });
    for (const name of acknowledged) expect((await client.get(name)).value).toHaveLength(value.length);
    expect((await server.stop()).code).toBe(0);

    await using again = launch(folder, { stateDir, config });
    const reader = clientOf(await urlOf(again));
    for (const name of [...acknowledged, 'after']) {
      expect((await reader.get(name)).value).toHaveLength(value.length);
    }
    await expectSoundAudit(reader, stateDir);
  });

  test('makes the re-encryption under a new data key wait, which says so and goes on when there is room', async () => {
    const folder = new TemporaryFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const place = smallFileSystem(folder, 8 * 1024);
    const stateDir = `${place}/state`;
    const config = 'storage:\n  minFreeBytes: 0\n';
    const server = launch(folder, { stateDir, config });
    const client = clientOf(await urlOf(server));
    const value = Buffer.alloc(200_000, 'v');
    for (let i = 0; i < 5; i++) await client.put(`big/${i}`, value);
    const ballast = `${place}/ballast`;
    const { bavail, bsize } = statfsSync(place);
    // Too little for a header: no new key, and no file of one.
    writeFileSync(ballast, Buffer.alloc(bavail * bsize - 100 * 1024, 1));
    for (const root of [false, true]) {
      expect(await outcomeOf(new Admin(client).rotateKeys({ root }))).toEqual({ code: 'storage_full' });
    }
    expect(readdirSync(folder.path).filter((name) => name.startsWith('root.key'))).toEqual(['root.key']);
    // Enough for the header, too little for a value.
    truncateSync(ballast, bavail * bsize - 320 * 1024);
    const enough = () => outcomeOf(new Admin(client).rotateKeys());
    await expect.poll(enough).toMatchObject({ value: { dataKeys: [{ id: 1 }, { id: 2 }] } });
    const rotation = () => new Admin(client).keyRotation();
    const waiting = { problem: { code: 'storage_full', message: expect.stringMatching(/waits for room/) } };
    await expect.poll(rotation, { timeout: 10_000 }).toMatchObject(waiting);
    for (let i = 0; i < 5; i++) expect((await client.get(`big/${i}`)).value).toHaveLength(value.length);
    await server.waitFor(/waits for room: the disk of /);

    rmSync(ballast);
    await expect.poll(rotation, { timeout: 30_000 }).toBeUndefined();
    expect(server.output.match(/waits for room/g)).toHaveLength(1);
    expect((await new Admin(client).keys()).dataKeys.map(({ id }) => id)).toEqual([2]);
    for (let i = 0; i < 5; i++) expect((await client.get(`big/${i}`)).value).toHaveLength(value.length);
    await expectSoundAudit(client, stateDir);
    expect((await server.stop()).code).toBe(0);
  });
});
