import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { CofferClientError } from '../errors.js';
import { SecretBytes } from '../secret/secret-bytes.js';

const KEY_BYTES = 32;
/** More than any form of a key takes. */
const MAX_OUTPUT = 1024;
const COMMAND_TIMEOUT = 30_000;

/**
 * Where the key of an encrypted cache comes from: a file that nobody but its owner may read, or what a command prints, which is run
 * without a shell. Either gives 32 random bytes, as they are, in hexadecimal or in base64; a text of 32 characters is no key. Of
 * hexadecimal and base64 a string stays in memory until the garbage collector takes it.
 */
export type KeySource = { readonly file: string } | { readonly command: readonly [string, ...string[]] };

/**
 * The key's bytes.
 *
 * @throws CofferClientError `bad_key` with nothing in it of what was read or printed
 */
export async function readKey(source: KeySource): Promise<SecretBytes> {
  const content = 'file' in source ? await readPrivate(source.file) : await outputOf(source.command);
  try {
    const key = new SecretBytes(KEY_BYTES);
    if (content.length === KEY_BYTES && content.some((byte) => byte > 0x7f)) {
      key.set(content);
    } else {
      const text = content.toString('latin1').trim();
      if (!/^([\da-f]{64}|[\w+/-]{43}=?)$/i.test(text)) throw badKey('is not 32 bytes, plain, hex or base64');
      Buffer.from(key.buffer).write(text, text.length === 2 * KEY_BYTES ? 'hex' : 'base64');
    }
    return key;
  } finally {
    content.fill(0);
  }
}

async function readPrivate(path: string): Promise<Buffer> {
  // Else a pipe of that name would be waited for.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(({ code }) => {
    throw badKey(`cannot be read from ${path} (${code})`);
  });
  try {
    const stats = await handle.stat();
    if (!stats.isFile() || stats.size > MAX_OUTPUT) throw badKey(`cannot be ${path}: it is no key file`);
    // Credentials of systemd are root's, and an access list, which shows as rights of the group, lets the service read them.
    const others = stats.uid === 0 && stats.gid === 0 ? 0o037 : 0o077;
    if (stats.mode & others) throw badKey(`may be read by others: chmod 600 ${path}`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

async function outputOf([file, ...args]: readonly [string, ...string[]]): Promise<Buffer> {
  const { spawn } = await import('node:child_process');
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const chunks: Buffer[] = [];
  let size = 0;
  let trouble: string | undefined;
  // Not only the child: what it started may hold the pipe.
  const giveUp = (why: string) => {
    trouble ??= why;
    child.kill('SIGKILL');
    child.stdout.destroy();
  };
  const timer = setTimeout(giveUp, COMMAND_TIMEOUT, 'takes too long');
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_OUTPUT) giveUp('prints too much');
  });
  child.on('error', ({ code }: NodeJS.ErrnoException) => giveUp(`cannot be run (${code})`));
  child.on('exit', (status, signal) => {
    if (status !== 0) giveUp(`ended with ${signal ?? status}`);
  });
  await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  const output = Buffer.allocUnsafeSlow(size);
  chunks.reduce((at, chunk) => at + chunk.copy(output, at), 0);
  for (const chunk of chunks) chunk.fill(0);
  if (trouble === undefined) return output;
  output.fill(0);
  throw badKey(`cannot be had: the command ${file} ${trouble}`);
}

const badKey = (why: string) => new CofferClientError('bad_key', `the key of the cache ${why}`);
