import { chmod, copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { keyPairFromBytes, verify } from '@coffer/identity';
import { describe, expect, test } from 'vitest';

import {
  type Caller,
  Engine,
  type Grant,
  type IssuedRecord,
  parseRootKey,
  restoreBackup,
  verifyAuditLog,
} from '../src/index.js';
import { rewriteRecord, storedHeader } from './store-file.js';
import { admin, codeOf, engineOptions, temporaryFolder } from './support.js';

/** What a kept store holds, written down when it was made. */
interface Content {
  readonly storeId: string;
  readonly secrets: readonly {
    readonly name: string;
    readonly activeVersion: number;
    /** By version number, base64. */
    readonly values: Readonly<Record<string, string>>;
  }[];
  readonly tokens: Readonly<Record<'live' | 'revoked' | 'expiring', { token: string; id: string }>>;
  readonly policy: { readonly grants: readonly Grant[]; readonly generation: number };
}

/** What stores have beyond it since format 3. */
interface Content3 extends Content {
  readonly revocations: readonly unknown[];
  readonly issued: IssuedRecord;
  /** Ids of operations that count once, and of which no head knows what they answered. */
  readonly spent: Readonly<Record<'secret' | 'policy' | 'rotation', string>>;
}

/** What stores have beyond it since format 4. */
interface Content4 extends Content {
  readonly secrets: readonly (Content['secrets'][number] & { readonly binary?: readonly number[] })[];
  /** By backend, the newest first; seeds in base64. */
  readonly transitKeys: Readonly<Record<string, readonly KeptKey[]>>;
  readonly retired: KeptKey;
}

interface KeptKey {
  readonly publicKey: string;
  readonly seed: string;
}

/** A copy of a store that an earlier version of coffer wrote, as that version left it. */
async function keptStore<C extends Content = Content>(name: string): Promise<{ folder: string; content: C }> {
  const kept = join(import.meta.dirname, 'vectors', name);
  const folder = await temporaryFolder();
  for (const part of ['state/store', 'state/audit']) await mkdir(join(folder, part), { recursive: true });
  const data = gunzipSync(await readFile(join(kept, 'data.mdb.gz')));
  await writeFile(join(folder, 'state', 'store', 'data.mdb'), data, { mode: 0o600 });
  for (const file of (await readdir(kept)).filter((file) => file.endsWith('.log'))) {
    await copyFile(join(kept, file), join(folder, 'state', 'audit', file));
  }
  await copyFile(join(kept, 'root.key'), join(folder, 'root.key'));
  // git keeps no modes but the executable bit.
  await chmod(join(folder, 'root.key'), 0o600);
  return { folder, content: JSON.parse(await readFile(join(kept, 'content.json'), 'utf8')) };
}

async function expectContent(engine: Engine, content: Content): Promise<void> {
  expect(engine.storeId).toBe(content.storeId);
  const infos = await engine.list(admin);
  expect(infos.map(({ name }) => name)).toEqual(content.secrets.map(({ name }) => name));
  for (const { name, activeVersion, values } of content.secrets) {
    const info = await engine.info(admin, name);
    expect(info).toEqual({ name, activeVersion, versions: Object.keys(values).map(Number) });
    for (const [version, value] of Object.entries(values)) {
      const read = await engine.get(admin, name, Number(version));
      expect(Buffer.from(read.value).toString('base64')).toBe(value);
    }
  }
  expect((await engine.policy(admin)).grants).toEqual(content.policy.grants);
  const { live, revoked, expiring } = content.tokens;
  const principal = engine.authenticateToken(live.token);
  expect(principal?.id).toBe(`token:${live.id}`);
  expect(engine.authenticateToken(revoked.token)).toBeUndefined();
  expect(engine.authenticateToken(expiring.token)?.id).toBe(`token:${expiring.id}`);
  const caller: Caller = { principals: [principal as NonNullable<typeof principal>], address: '192.0.2.7' };
  expect((await engine.list(caller)).every(({ name }) => name.startsWith('prod/'))).toBe(true);
}

/** The server's own signatures: the kept log has some. */
const signing = {
  createSigner: (seed: Uint8Array) => keyPairFromBytes('server', seed),
  verify: (message: Uint8Array, signature: Uint8Array, key: string) => verify(key, message, signature),
};

/** Opens the store as a server would; the notices are what a person gets to see. */
async function open(folder: string): Promise<{ engine: Engine; notices: string[] }> {
  const notices: string[] = [];
  const onNotice = (sentence: string) => void notices.push(sentence);
  const { createSigner } = signing;
  return { engine: await Engine.open({ ...engineOptions(folder), createSigner, onNotice }), notices };
}

const backupsIn = async (folder: string): Promise<string[]> =>
  (await readdir(join(folder, 'state')))
    .filter((name) => name.endsWith('.coffer-backup'))
    .map((name) => join(folder, 'state', name));

describe('a store that an earlier coffer wrote', () => {
  test('of format 1 (0.1.0) is upgraded with all that it holds, takes changes and opens again', async () => {
    const { folder, content } = await keptStore('store-format-1');
    expect(await storedHeader(join(folder, 'state'))).toMatchObject({ format: 1 });
    const first = await open(folder);
    await expectContent(first.engine, content);
    await first.engine.put(admin, 'new/secret', Buffer.from('a new value'));
    await first.engine.close();
    expect(first.notices).toEqual([
      expect.stringMatching(/^The store was brought from format 1 to 4\. As it was/),
    ]);
    expect(await storedHeader(join(folder, 'state'))).toMatchObject({ format: 4 });

    const second = await open(folder);
    const { value } = await second.engine.get(admin, 'new/secret');
    expect(Buffer.from(value).toString()).toBe('a new value');
    await second.engine.delete(admin, 'new/secret');
    await expectContent(second.engine, content);
    await second.engine.close();
    expect(second.notices).toEqual([]);
    expect(await backupsIn(folder)).toHaveLength(1);
  });

  test('of format 1 leaves a private backup of itself, from which it can be restored as it was', async () => {
    const { folder, content } = await keptStore('store-format-1');
    const { engine } = await open(folder);
    await engine.put(admin, 'prod/db/password', Buffer.from('changed since'));
    await engine.close();
    const [backup] = (await backupsIn(folder)) as [string];
    expect((await stat(backup)).mode & 0o777).toBe(0o600);
    const stateDir = join(folder, 'restored', 'state');
    await mkdir(join(folder, 'restored'));
    await copyFile(join(folder, 'root.key'), join(folder, 'restored', 'root.key'));
    const rootKey = parseRootKey(`file:${join(folder, 'restored', 'root.key')}`);
    await restoreBackup(backup, { ...signing, rootKey, stateDir, development: false, mergeFrom: [] });
    const restored = await open(join(folder, 'restored'));
    await expectContent(restored.engine, content);
    await restored.engine.close();
  });

  test('stays as it was when there is no room for that backup', async () => {
    const { folder, content } = await keptStore('store-format-1');
    // A folder where the backup's name would be taken: no file can be made under it.
    const now = () => new Date('2026-11-22T12:00:00Z');
    await mkdir(join(folder, 'state', 'before-format-4-20261122T120000Z.coffer-backup'));
    const refused = Engine.open({ ...engineOptions(folder), createSigner: signing.createSigner, now });
    await expect(refused).rejects.toMatchObject({ code: 'io' });
    expect(await storedHeader(join(folder, 'state'))).toMatchObject({ format: 1 });
    const { engine } = await open(folder);
    await expectContent(engine, content);
    await engine.close();
  });

  test('of format 2, with keys that were changed and a log of several files, is upgraded', async () => {
    const { folder, content } = await keptStore('store-format-2');
    const first = await open(folder);
    await expectContent(first.engine, content);
    expect((await first.engine.keys(admin)).dataKeys).toMatchObject([{ id: 2, state: 'active' }]);
    await first.engine.put(admin, 'new/secret', Buffer.from('a new value'));
    await first.engine.delete(admin, 'new/secret');
    await first.engine.close();
    expect(first.notices).toEqual([
      expect.stringMatching(/^The store was brought from format 2 to 4\. As it was/),
    ]);
    expect(await storedHeader(join(folder, 'state'))).toMatchObject({ format: 4 });
    expect(await backupsIn(folder)).toHaveLength(1);
    const verdict = await verifyAuditLog(join(folder, 'state', 'audit'), {
      storeId: content.storeId,
      verify: (message, signature, key) =>
        key === first.engine.serverKey && signing.verify(message, signature, key),
    });
    expect(verdict.broken).toBeUndefined();
    expect(verdict.entries).toBeGreaterThan(70);
  });

  test('of format 3, with revocations and operations that count once, is upgraded', async () => {
    const { folder, content } = await keptStore<Content3>('store-format-3');
    const { revocations, issued, spent } = content;
    const { engine, notices } = await open(folder);
    await expectContent(engine, content);
    expect(JSON.parse(JSON.stringify(await engine.revocations(admin)))).toEqual(revocations);
    expect(engine.tokenRevoked('IGTAGBPIJUCKUYXQNWUPGVDVKT5FQPNKMCHLC3HVVKXWVT2OBCRQ')).toBe(true);
    expect(engine.newestIssued(issued.key)).toBe(issued.iat);
    const again = (operation: keyof typeof spent) => ({ operation: spent[operation] });
    const repeated = [
      engine.put(admin, 'prod/api', Buffer.from('kept api 2'), again('secret')),
      engine.applyPolicy(admin, content.policy.grants, {}, again('policy')),
      engine.rotateKeys(admin, { root: true }, again('rotation')),
    ];
    const codes = await Promise.all(repeated.map(codeOf));
    expect(codes).toEqual(repeated.map(() => 'operation_reused'));
    await engine.put(admin, 'new/secret', Buffer.from('a new value'));
    await engine.close();
    expect(notices).toEqual([expect.stringMatching(/^The store was brought from format 3 to 4\. As it was/)]);
    expect(await storedHeader(join(folder, 'state'))).toMatchObject({ format: 4 });
    expect(await backupsIn(folder)).toHaveLength(1);
  });

  test('of format 4, with binary values, conditions and transit keys, opens as it is', async () => {
    const { folder, content } = await keptStore<Content4>('store-format-4');
    const { engine, notices } = await open(folder);
    await expectContent(engine, content);
    for (const { name, values, binary = [] } of content.secrets) {
      for (const version of Object.keys(values).map(Number)) {
        expect((await engine.get(admin, name, version)).binary).toBe(binary.includes(version));
      }
    }
    for (const [backend, keys] of Object.entries(content.transitKeys)) {
      const found = engine
        .transitKeys(backend)
        .map(({ publicKey, seed }) => ({ publicKey, seed: Buffer.from(seed).toString('base64') }));
      expect(found).toEqual(keys);
    }
    const { publicKey, seed } = content.retired;
    const again = { backend: 'nats-kv', publicKey, seed: Buffer.from(seed, 'base64') };
    expect(await codeOf(engine.addTransitKey(admin, again))).toBe('conflict');
    await engine.put(admin, 'new/secret', Buffer.from('a new value'));
    await engine.close();
    expect(notices).toEqual([]);
    expect(await backupsIn(folder)).toEqual([]);
  });

  test('cannot be put in the place of its own upgraded self, whatever it says of its age', async () => {
    const { folder } = await keptStore('store-format-1');
    const stateDir = join(folder, 'state');
    const file = join(stateDir, 'store', 'data.mdb');
    const old = await readFile(file);
    const { engine } = await open(folder);
    await engine.close();
    await writeFile(file, old);
    await expect(open(folder)).rejects.toMatchObject({ code: 'store_rolled_back' });
    // The number of changes, in clear behind the format (1 byte) and the store's id (16).
    await rewriteRecord(stateDir, Buffer.of(0), (state) => {
      state.writeBigUInt64BE(1_000_000n, 17);
      return state;
    });
    await expect(open(folder)).rejects.toMatchObject({ code: 'store_rolled_back' });
  });
});
