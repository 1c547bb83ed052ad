import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startTestServer } from '@coffer/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canary } from '../support/canary.mjs';
import { run, TemporaryFolder } from '../support/processes.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const tsc = join(root, 'node_modules/typescript/bin/tsc');

const folder = new TemporaryFolder();
const user = folder.join('user');

/** The standard output of a command that succeeds. */
async function output(program: string, args: string[], cwd: string, env = {}): Promise<string> {
  const { code, stdout, stderr } = await run(program, args, { cwd, env, timeoutMs: 120_000 });
  expect({ code, output: `${stdout}${stderr}` }).toMatchObject({ code: 0 });
  return stdout.toString();
}

/** Builds the package where nothing of an earlier build lies, and packs it. */
async function pack(): Promise<string> {
  const workspace = folder.join('workspace');
  const copy = join(workspace, 'packages/client');
  mkdirSync(copy, { recursive: true });
  const left = new Set(['dist', 'test', 'tsconfig.tsbuildinfo']);
  cpSync(join(root, 'packages/client'), copy, {
    recursive: true,
    filter: (path) => !left.has(basename(path)),
  });
  cpSync(join(root, 'tsconfig.base.json'), join(workspace, 'tsconfig.base.json'));
  symlinkSync(join(root, 'node_modules'), join(workspace, 'node_modules'));
  await output(process.execPath, [tsc, '--build'], copy);
  const name = await output('npm', ['pack', '--silent', '--pack-destination', folder.path], copy);
  return folder.join(name.trim());
}

beforeAll(async () => {
  const tarball = await pack();
  mkdirSync(user);
  writeFileSync(join(user, 'package.json'), JSON.stringify({ name: 'user', private: true }));
  const cache = ['--cache', folder.join('cache')];
  await output('npm', ['install', '--offline', '--no-audit', '--no-fund', ...cache, tarball], user);
});
afterAll(() => folder[Symbol.dispose]());

describe('the packed client library, installed in a fresh folder from its tarball alone', () => {
  it('brings nothing along, and holds what it is to hold', () => {
    const installed = readdirSync(join(user, 'node_modules')).filter((name) => !name.startsWith('.'));
    expect(installed).toEqual(['@coffer']);
    expect(readdirSync(join(user, 'node_modules/@coffer'))).toEqual(['client']);
    const files = readdirSync(join(user, 'node_modules/@coffer/client'));
    expect(files.sort()).toEqual(['LICENSE', 'README.md', 'dist', 'package.json', 'src']);
  });

  const PROGRAM = `
    (async () => {
      const client = Client.fromEnv();
      const store = await Store.open({ client, secrets: ['db/password'], watch: false });
      const { grants } = await new Admin(client).policy();
      console.log(store.secret('db/password').reveal(), grants.length, Object.keys(library).length > 10);
      await store.close();
      client.close();
    })();
  `;

  it.each([
    [
      'as ES modules',
      'program.mjs',
      `import * as library from '@coffer/client'; import { Admin } from '@coffer/client/admin'; const { Client, Store } = library;`,
    ],
    [
      'through require',
      'program.cjs',
      `const library = require('@coffer/client'); const { Admin } = require('@coffer/client/admin'); const { Client, Store } = library;`,
    ],
  ])('works %s', async (_what, name, head) => {
    await using server = await startTestServer({ secrets: { 'db/password': canary('packed') } });
    writeFileSync(join(user, name), `${head}\n${PROGRAM}`);
    const env = { COFFER_SERVER: server.url, COFFER_TOKEN: server.token };
    // Nothing but what the program prints: no warning of an experiment, either.
    expect(await output(process.execPath, [name], user, env)).toBe(`${canary('packed')} 1 true\n`);
  });

  const TYPED = `
    import { Client, CofferClientError, fields, field, Keyring, Store, type SecretBytes } from '@coffer/client';
    import { Admin, type Policy } from '@coffer/client/admin';

    // What a program was perhaps given, it may pass on.
    export async function main(token?: string, signal?: AbortSignal, limit?: number): Promise<Policy> {
      await using client = Client.fromEnv(process.env, { token, timeout: limit });
      await using store = await Store.open({ client, secrets: ['db/password'], signal, maxAge: limit });
      await store.refresh({ signal });
      // @ts-expect-error: a store makes it
      new Keyring();
      const value: SecretBytes = store.secret('db/password').get();
      // @ts-expect-error: it was not declared
      store.secret('other').get();
      const config = await fields({ port: field.number('port') }).from(store);
      const port: number = config.port;
      if (value.length === port) throw new CofferClientError('invalid_argument', 'so be it');
      return new Admin(client).policy();
    }
  `;

  it.each([
    ['nodenext', 'nodenext', 'typed.mts'],
    ['nodenext from CommonJS', 'nodenext', 'typed.cts'],
    ['bundler', 'bundler', 'typed.ts'],
  ])('has types for %s', async (_what, moduleResolution, name) => {
    writeFileSync(join(user, name), TYPED);
    const compilerOptions = {
      module: moduleResolution === 'bundler' ? 'esnext' : 'nodenext',
      moduleResolution,
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      strict: true,
      exactOptionalPropertyTypes: true,
      // The declarations themselves are looked at.
      skipLibCheck: false,
      noEmit: true,
      typeRoots: [join(root, 'node_modules/@types')],
      types: ['node'],
    };
    writeFileSync(join(user, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [name] }));
    await output(process.execPath, [tsc, '-p', 'tsconfig.json'], user);
  });

  it('names in its exports what is there', () => {
    const at = join(user, 'node_modules/@coffer/client');
    const { exports, sideEffects } = JSON.parse(readFileSync(join(at, 'package.json'), 'utf8'));
    expect(sideEffects).toBe(false);
    for (const entry of Object.values<string | Record<string, string>>(exports)) {
      for (const file of typeof entry === 'string' ? [entry] : Object.values(entry)) {
        expect(readFileSync(join(at, file), 'utf8').length).toBeGreaterThan(0);
      }
    }
  });
});
