import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { backend, moduleFile } from './backend-world.js';
import { until } from './nats-world.js';
import { temporaryFolder } from './support.js';
import { WasmWorld } from './wasm-world.js';

const text = readFileSync(new URL('../../../docs/wasmcloud-backends.md', import.meta.url), 'utf8');
const [, code = ''] = /```js\n([\s\S]*?)```/.exec(text) ?? [];

describe('docs/wasmcloud-backends.md', () => {
  it('has a whole backend in less than 40 lines', () => {
    expect(code.trimEnd().split('\n').length).toBeLessThan(40);
    expect(code).toContain('export default');
  });

  it('has one that serves a folder', async () => {
    const folder = await temporaryFolder();
    writeFileSync(join(folder, 'db-password'), canary('file'));
    writeFileSync(join(folder, 'key.der'), Buffer.from([0xff, 1]));
    mkdirSync(join(folder, 'inner'));
    const module = await moduleFile(code);
    const world = await WasmWorld.start({ backends: [backend('folder', module, { settings: { folder } })] });
    await world.grant({ to: [world.principal], actions: ['get'], secrets: ['folder/*'] });
    const of = { backend: 'folder' };
    const got = await world.get('db-password', of);
    const [, version = ''] = /^string (\d+) /.exec(got) ?? [];
    expect(got).toBe(`string ${version} ${canary('file')}`);
    expect(await world.get('db-password', { ...of, version })).toBe(got);
    expect(await world.refusal('db-password', { ...of, version: '1' })).toBe('SecretNotFound');
    expect(await world.refusal('db-password', { ...of, field: 'x' })).toBe('InvalidRequest');
    expect(await world.get('key.der', of)).toMatch(/^binary \d+ ff01$/);
    expect(await world.refusal('absent', of)).toBe('SecretNotFound');
    expect(await world.refusal('../../etc/passwd', of)).toBe('InvalidRequest');
    expect(await world.refusal('inner', of)).toMatch(/^Other: the backend failed/);
    rmSync(folder, { recursive: true });
    await until(() => world.log.says('this backend cannot answer now').length > 0, 'the log to say so');
    expect(world.log.says('this backend cannot answer now')).toMatchObject([
      { reason: `${folder} cannot be read (ENOENT)` },
    ]);
    expect(await world.refusal('db-password', of)).toBe('UpstreamError: no access (ENOENT)');
  }, 30_000);

  it('has one that says at the start that there is no such folder', async () => {
    const module = await moduleFile(code);
    const settings = { folder: '/nowhere/at/all' };
    const start = WasmWorld.start({ backends: [backend('folder', module, { settings })] });
    await expect(start).rejects.toThrow(/the backend folder: the module \S+ cannot be opened: ENOENT/);
  });
});
