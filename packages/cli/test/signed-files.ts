import { createHash } from 'node:crypto';
import { createKeyPair, encodeWascap, type KeyPair, type WascapClaims } from '@coffer/identity';

/** Signed WebAssembly files and provider archives, made by hand. */

const MODULE = Buffer.from('\0asm\x01\0\0\0', 'latin1');
const COMPONENT = Buffer.from('\0asm\x0d\0\x01\0', 'latin1');

export const section = (id: number, content: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([id]), leb128(content.length), content]);
export const custom = (name: string, content: string): Buffer =>
  section(0, Buffer.concat([leb128(name.length), Buffer.from(name), Buffer.from(content)]));
export const wasmModule = (...sections: Buffer[]): Buffer => Buffer.concat([MODULE, ...sections]);
export const wasmComponent = (...sections: Buffer[]): Buffer => Buffer.concat([COMPONENT, ...sections]);
/** A type section with the type of a function without parameters and results. */
export const TYPES = section(1, Buffer.from([1, 0x60, 0, 0]));

export const hashOf = (file: Uint8Array): string =>
  createHash('sha256').update(file).digest('hex').toUpperCase();

export interface Signed {
  readonly token: string;
  readonly key: string;
}

/** A token by this account for a new component. */
export function componentToken(
  account: KeyPair,
  hash: string,
  more: Partial<WascapClaims> = {},
  claims: object = {},
): Signed {
  using component = createKeyPair('component');
  const wascap = { name: 'hello', hash, tags: ['demo'], rev: 3, ver: '0.1.1', prov: false, ...claims };
  const token = encodeWascap({ sub: component.publicKey, wascap, wascap_revision: 3, ...more }, account);
  return { token, key: component.publicKey };
}

/** One by this account for a new provider, whose programs have these hashes. */
export function providerToken(account: KeyPair, hashes: Readonly<Record<string, string>>): Signed {
  using provider = createKeyPair('provider');
  const wascap = { name: 'sql', vendor: 'acme', target_hashes: hashes, ver: '1.0.0' };
  const token = encodeWascap({ sub: provider.publicKey, wascap, wascap_revision: 3 }, account);
  return { token, key: provider.publicKey };
}

/** A tar as POSIX has it. */
export function tar(entries: Readonly<Record<string, Uint8Array | string>>): Buffer {
  const blocks = Object.entries(entries).flatMap(([name, content]) => {
    const bytes = Buffer.from(content as string);
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000644\0', 100);
    header.write(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('        0', 148);
    header.write('ustar', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return [header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

export function leb128(value: number, { bytes = 1 } = {}): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest >= 0x80 || out.length + 1 < bytes) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return Buffer.from([...out, rest]);
}
