import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

import { describe, expect, test } from 'vitest';

import { type Caller, Engine, type Grant } from '../src/index.js';
import { admin, engineOptions, temporaryFolder } from './support.js';

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

/** A copy of a store that an earlier version of coffer wrote, as that version left it. */
async function keptStore(name: string): Promise<{ folder: string; content: Content }> {
  const kept = join(import.meta.dirname, 'vectors', name);
  const folder = await temporaryFolder();
  for (const part of ['state/store', 'state/audit']) await mkdir(join(folder, part), { recursive: true });
  const data = gunzipSync(await readFile(join(kept, 'data.mdb.gz')));
  await writeFile(join(folder, 'state', 'store', 'data.mdb'), data, { mode: 0o600 });
  await copyFile(join(kept, 'audit.log'), join(folder, 'state', 'audit', 'audit.log'));
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

describe('a store that an earlier coffer wrote', () => {
  test('of format 1 (0.1.0) opens with all that it holds, takes changes and opens again', async () => {
    const { folder, content } = await keptStore('store-format-1');
    const first = await Engine.open(engineOptions(folder));
    await expectContent(first, content);
    await first.put(admin, 'new/secret', Buffer.from('a new value'));
    await first.close();
    const second = await Engine.open(engineOptions(folder));
    expect(Buffer.from((await second.get(admin, 'new/secret')).value).toString()).toBe('a new value');
    await second.delete(admin, 'new/secret');
    await expectContent(second, content);
    await second.close();
  });
});
