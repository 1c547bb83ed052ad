import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AccountResolver, createKeyPair, folderResolver, storeResolver } from '../src/index.js';
import { NOW, World } from './trust-world.js';
import { NSC } from './vectors.js';

let folder: string;
let open: AccountResolver[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'coffer-test-'));
  open = [];
});

afterEach(async () => {
  for (const resolver of open) await resolver.close?.();
  rmSync(folder, { recursive: true });
});

/** Where the token of an account is in each layout, and what reads it. */
const LAYOUTS = [
  {
    layout: "a folder of nats-server's",
    make: () => folderResolver(folder),
    path: (account: string) => join(folder, `${account}.jwt`),
  },
  {
    layout: "a sharded folder of nats-server's",
    make: () => folderResolver(folder),
    path: (account: string) => join(folder, account.slice(-2), `${account}.jwt`),
  },
  {
    layout: "a store of nsc's",
    make: () => storeResolver(folder),
    path: () => join(folder, 'accounts', 'A', 'A.jwt'),
  },
];

function large(file: string): void {
  writeFileSync(file, '');
  truncateSync(file, 2 ** 40);
}

describe.each(LAYOUTS)('$layout', ({ make, path }) => {
  const world = new World();
  const account = world.account.publicKey;
  const [first, second] = [world.accountToken(), world.accountToken({}, { iat: NOW + 1 })];

  function write(token: string): string {
    const file = path(account);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, token);
    return file;
  }

  function resolver(): Required<AccountResolver> {
    const made = make();
    open.push(made);
    return made;
  }

  it('answers with the token of an account, and lists it', async () => {
    write(`${first}\n`);
    const made = resolver();
    expect(await made.lookup(account)).toBe(first);
    expect(await made.accounts()).toEqual([account]);
    write(second);
    expect(await made.lookup(account)).toBe(second);
  });

  it('knows no other accounts, whatever they are called', async () => {
    write(first);
    for (const other of [createKeyPair('account').publicKey, '../../etc/passwd', '', 'A'.repeat(56)]) {
      expect(await resolver().lookup(other)).toBeUndefined();
    }
  });

  it.each([
    ['changed in place', (file: string) => writeFileSync(file, second), second],
    [
      'replaced',
      (file: string) => {
        writeFileSync(`${file}.new`, second);
        renameSync(`${file}.new`, file);
      },
      second,
    ],
    ['removed', (file: string) => unlinkSync(file), undefined],
  ])('tells within a second that a token was %s', async (_how, change, then) => {
    const file = write(first);
    const made = resolver();
    const told: (string | undefined)[] = [];
    made.watch((key) => told.push(key));
    expect(await made.lookup(account)).toBe(first);
    change(file);
    await vi.waitFor(() => expect(told).toEqual([account]), { timeout: 1000, interval: 10 });
    // What it tells of, it has at hand.
    expect(made.lookup(account)).toBe(then);
  });

  it('does not tell of half a token while it is written', async () => {
    const file = write(first);
    const made = resolver();
    const told: unknown[] = [];
    made.watch((key) => told.push(made.lookup(key ?? '')));
    expect(await made.lookup(account)).toBe(first);
    writeFileSync(file, second.slice(0, 100));
    setTimeout(() => writeFileSync(file, second), 60);
    await vi.waitFor(() => expect(told).toEqual([second]), { timeout: 1000, interval: 10 });
  });

  it.each([
    ['a pipe', (file: string) => void execFileSync('mkfifo', [file])],
    ['a folder', (file: string) => void mkdirSync(file)],
    ['larger than any token', large],
  ])('does not wait for a file that is %s', async (_what, make) => {
    const file = write(first);
    unlinkSync(file);
    make(file);
    const made = resolver();
    const answers = await Promise.all(Array.from({ length: 8 }, async () => await made.lookup(account)));
    for (const answer of answers) expect(answer || undefined).toBeUndefined();
    rmSync(file, { recursive: true });
    write(second);
    expect(await made.lookup(account)).toBe(second);
  });

  it('tells when all of it is gone, and is an error from then on', async () => {
    write(first);
    const made = resolver();
    const told: unknown[] = [];
    made.watch((key) => told.push(key));
    expect(await made.lookup(account)).toBe(first);
    rmSync(folder, { recursive: true });
    await vi.waitFor(() => expect(told).toEqual([account]), { timeout: 1000, interval: 10 });
    await expect(async () => await made.lookup(account)).rejects.toThrow('not there');
    mkdirSync(folder);
  });

  it('is an error, not an empty list, when it is not there', async () => {
    rmSync(folder, { recursive: true });
    await expect(async () => await resolver().lookup(account)).rejects.toThrow('not there');
    mkdirSync(folder);
  });
});

describe("nsc's own store", () => {
  it('has its accounts', async () => {
    cpSync(join(NSC, 'stores'), folder, { recursive: true });
    const resolver = storeResolver(join(folder, 'demoO'));
    open.push(resolver);
    expect(await resolver.accounts()).toHaveLength(3);
  });
});
