import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { tokenIn } from '@coffer/identity';
import { Failure, systemReason } from '../failure.js';
import { readInput } from '../identity/files.js';
import { readStandardInput } from '../value.js';
import { isStandardInput, noFile } from './bounded.js';
import { isGzip, isTar, readArchive } from './provider-archive.js';
import { isWasm, readWasm } from './wasm-file.js';

/** A token, and what it came in, with the hashes that the token speaks of. */
export type SignedFile =
  | { readonly form: 'token'; readonly token: string }
  | { readonly form: 'module' | 'component'; readonly token: string; readonly hash: string }
  | { readonly form: 'archive'; readonly token: string; readonly targets: ReadonlyMap<string, string> };

/** It is read whole. */
const WASM_BYTES = 512 * 1024 * 1024;
const TEXT_BYTES = 2 * 1024 * 1024;
const HEAD_BYTES = 512;

/**
 * The token that a person means: written out, in a file of its own, in a signed `.wasm`, or in a provider archive.
 *
 * @param named the token, a path, or `-` for standard input
 * @throws Failure if there is none
 */
export async function readSigned(named: string): Promise<SignedFile> {
  if (/^eyJ[\w-]*\.[\w-]*\.[\w-]*$/.test(named)) return { form: 'token', token: named };
  const { head, size, stream, all } = await sourceOf(named);
  if (isWasm(head)) {
    if (size > WASM_BYTES)
      throw new Failure(`${named} is too large: a .wasm has at most ${WASM_BYTES} bytes`);
    return signedWasm(readWasm(await all()), named);
  }
  if (isGzip(head) || isTar(head)) {
    const { token, targets } = await readArchive(stream(), { gzip: isGzip(head) });
    if (token !== undefined) return { form: 'archive', token, targets };
    throw new Failure(`${named} is no provider archive: there is no claims.jwt in it`);
  }
  if (size <= TEXT_BYTES) {
    const token = tokenIn(await all());
    if (token.startsWith('eyJ')) return { form: 'token', token };
  }
  throw new Failure(`${named} is neither a .wasm file, nor a provider archive, nor a token`);
}

function signedWasm(
  { form, token, tokenInside, hash }: ReturnType<typeof readWasm>,
  named: string,
): SignedFile {
  if (token !== undefined) return { form, token, hash };
  throw new Failure(
    tokenInside
      ? `${named} is not signed: a component inside it is, where hosts do not look; sign the file itself with wash`
      : `${named} is not signed: there is no token in it; "wash build" and "wash claims sign" put one there`,
  );
}

interface Source {
  readonly head: Buffer;
  readonly size: number;
  stream(): Readable;
  all(): Promise<Buffer>;
}

async function sourceOf(path: string): Promise<Source> {
  if (isStandardInput(path)) {
    const bytes = Buffer.from(await readStandardInput(WASM_BYTES));
    const head = bytes.subarray(0, HEAD_BYTES);
    return { head, size: bytes.length, stream: () => Readable.from([bytes]), all: async () => bytes };
  }
  await requireRegular(path);
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    const head = buffer.subarray(0, bytesRead);
    return { head, size, stream: () => createReadStream(path), all: () => readInput(path) };
  } finally {
    await file.close();
  }
}

async function requireRegular(path: string): Promise<void> {
  try {
    const about = await stat(path);
    if (!about.isFile()) throw noFile(`cannot read ${path}`, about.isDirectory());
  } catch (error) {
    if (error instanceof Failure) throw error;
    const hint = /^[\w.-]+(:\d+)?\/.*[:@]/.test(path)
      ? '; of an image in a registry, fetch it first with "wash pull"'
      : '';
    throw new Failure(`cannot read ${path}: ${systemReason(error)}${hint}`);
  }
}
