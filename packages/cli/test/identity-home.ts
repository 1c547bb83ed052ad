import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openContext } from '@coffer/identity';
import { expect } from 'vitest';
import { coffer, type Outcome } from './run.js';

export const NSC = fileURLToPath(new URL('../../identity/test/vectors/nsc', import.meta.url));
export const vector = (path: string): string => readFileSync(join(NSC, path), 'utf8');

/** A home folder, and `coffer identity` in it. */
export interface Home extends Disposable {
  readonly path: string;
  identity(...args: readonly string[]): Promise<Outcome>;
  /** The output of a command that must succeed. */
  ok(...args: readonly string[]): Promise<string>;
  /** The sentence of one that must fail. */
  fails(...args: readonly string[]): Promise<string>;
}

export function home(env: Record<string, string> = {}): Home {
  const path = mkdtempSync(join(tmpdir(), 'coffer-identity-'));
  const identity = (...args: readonly string[]) =>
    coffer(['identity', ...args], { env: { HOME: path, ...env } });
  return {
    path,
    identity,
    async ok(...args) {
      const { code, stdout, stderr } = await identity(...args);
      expect({ code, stderr }, args.join(' ')).toEqual({ code: 0, stderr: '' });
      return stdout;
    },
    async fails(...args) {
      const { code, stderr } = await identity(...args);
      expect(code, args.join(' ')).toBe(1);
      expect(stderr).toMatch(/^coffer: [^\n]+\n$/);
      return stderr.slice('coffer: '.length, -1);
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** A copy of the folders that nsc made, and the options that name them. */
export function nscHome(): Home & { readonly folders: string[]; open(): ReturnType<typeof openContext> } {
  const own = home();
  cpSync(NSC, own.path, { recursive: true });
  for (const entry of readdirSync(own.path, { recursive: true, encoding: 'utf8' })) {
    const at = join(own.path, entry);
    chmodSync(at, statSync(at).isDirectory() ? 0o700 : 0o600);
  }
  const dirs = { dataDir: join(own.path, 'stores'), keystoreDir: join(own.path, 'nkeys') };
  const folders = ['--data-dir', dirs.dataDir, '--keystore-dir', dirs.keystoreDir];
  return {
    ...own,
    folders,
    identity: (...args) => own.identity(...args, ...folders),
    ok: (...args) => own.ok(...args, ...folders),
    fails: (...args) => own.fails(...args, ...folders),
    open: () => openContext({ ...dirs, env: {}, cwd: own.path, home: own.path }),
  };
}

export const KEY = '[OAUX][A-Z2-7]{55}';
export const lines = (output: string): string[] => output.trimEnd().split('\n');
/** Each key as its kind alone. */
export const withoutKeys = (text: string): string =>
  text.replace(new RegExp(KEY, 'g'), (key) => `${key[0]}…`);

/** The value in a row of a table. */
export function row(table: string, label: string): string | undefined {
  return new RegExp(`^\\| ${label} +\\| (.*?) +\\|$`, 'm').exec(table)?.[1];
}
