import { createHash } from 'node:crypto';
import { Failure } from '../failure.js';

/**
 * The identity that lies in a signed WebAssembly file: a token in a custom section, whose claim `hash` is of the file without it.
 *
 * Source of the format: the binary formats of WebAssembly's modules and components; wasmCloud's crate wascap (`wasm.rs`).
 */
export interface SignedWasm {
  readonly form: 'module' | 'component';
  /** As a host would take it; undefined: there is none. */
  readonly token: string | undefined;
  /** A token lies in a component or module inside, where hosts do not look for it. */
  readonly tokenInside: boolean;
  /** SHA-256 of the file without tokens, in upper-case hexadecimal, as signers write it. */
  readonly hash: string;
}

const MAGIC = Buffer.from('\0asm', 'latin1');
/** Version and layer: what is no module is a component, of which there are drafts with other versions. */
const MODULE = Buffer.from([1, 0, 0, 0]);
const HEADER_LENGTH = 8;
const CUSTOM = 0;
/** Of a component: sections that hold a whole module or component. */
const NESTED = [1, 4];
/** wascap's from 0.9 on, which counts only in the outermost, and the one before, which counts everywhere. */
const SECTION = 'wasmcloud_jwt';
const OLD_SECTION = 'jwt';
const DEPTH_MAX = 100;
const SECTIONS_MAX = 200_000;
/** As of any token. */
const TOKEN_BYTES = 1024 * 1024;

export const isWasm = (head: Uint8Array): boolean => MAGIC.equals(head.subarray(0, MAGIC.length));

/** @throws Failure where the file is damaged */
export function readWasm(file: Buffer): SignedWasm {
  const walk = new Walk();
  const hash = createHash('sha256');
  for (const piece of walk.through(file, 0)) hash.update(piece);
  const form = isModule(file) ? 'module' : 'component';
  const { token, tokenInside } = walk;
  return { form, token, tokenInside, hash: hash.digest('hex').toUpperCase() };
}

/** Goes through a file and those inside it, remembers the first token that counts, and leaves tokens out. */
class Walk {
  token: string | undefined;
  tokenInside = false;
  #sections = 0;

  /** The pieces of the file without tokens, lengths written in the shortest form. */
  through(file: Buffer, depth: number): Buffer[] {
    if (depth > DEPTH_MAX) throw damaged('too many components lie in each other');
    if (!isWasm(file) || file.length < HEADER_LENGTH) throw damaged('it does not begin as WebAssembly does');
    const pieces = [file.subarray(0, HEADER_LENGTH)];
    for (let at = HEADER_LENGTH; at < file.length; ) {
      if (++this.#sections > SECTIONS_MAX) throw damaged(`it has more than ${SECTIONS_MAX} sections`);
      const id = file[at] as number;
      const { value: length, end: start } = readLength(file, at + 1);
      at = start + length;
      if (at > file.length) throw damaged('a section reaches beyond its end');
      const content = this.#content(id, file.subarray(start, at), { depth, isComponent: !isModule(file) });
      if (content !== undefined) pieces.push(Buffer.from([id]), writeLength(lengthOf(content)), ...content);
    }
    return pieces;
  }

  /** What stays of a section; undefined: all of it is a token. */
  #content(
    id: number,
    content: Buffer,
    { depth, isComponent }: { readonly depth: number; readonly isComponent: boolean },
  ): Buffer[] | undefined {
    if (isComponent && NESTED.includes(id)) return this.through(content, depth + 1);
    if (id !== CUSTOM) return [content];
    const { value: length, end: start } = readLength(content, 0);
    if (start + length > content.length) throw damaged('the name of a section reaches beyond its end');
    const name = content.toString('utf8', start, start + length);
    if (name !== SECTION && name !== OLD_SECTION) return [content];
    const token = content.subarray(start + length);
    if (token.length > TOKEN_BYTES) throw damaged(`its token has more than ${TOKEN_BYTES} bytes`);
    if (name === OLD_SECTION || depth === 0) this.token ??= token.toString('utf8');
    else this.tokenInside = true;
    return undefined;
  }
}

const isModule = (file: Buffer): boolean => MODULE.equals(file.subarray(MAGIC.length, HEADER_LENGTH));
const lengthOf = (pieces: readonly Buffer[]): number => pieces.reduce((sum, { length }) => sum + length, 0);

/** An unsigned number of 32 bits in LEB128: at most five bytes of seven bits each, the lowest first. */
function readLength(bytes: Buffer, at: number): { readonly value: number; readonly end: number } {
  let value = 0;
  for (let index = 0; index < 5; index++) {
    const byte = bytes[at + index];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (value > 0xffff_ffff) break;
    if (byte < 0x80) return { value, end: at + index + 1 };
  }
  throw damaged('a length in it cannot be read');
}

function writeLength(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}

const damaged = (why: string): Failure => new Failure(`this WebAssembly file is damaged: ${why}`);
