import { parsePublicKey } from '../keys/nkey.js';
import { holdsSeed } from '../masked.js';
import { StoreError } from './errors.js';

/** The names of operators, accounts and users, which name files and folders. */
const NAME_BYTES = 200;

/**
 * Whether `name` can be that of an operator, an account or a user, which names files and folders.
 *
 * @throws StoreError `invalid_name`
 */
export function checkName(name: string, what: string): string {
  const problem =
    name === ''
      ? 'is empty'
      : Buffer.byteLength(name) > NAME_BYTES
        ? `has more than ${NAME_BYTES} bytes`
        : /[/\\]/.test(name)
          ? 'has a / or \\ in it'
          : name.startsWith('.')
            ? 'begins with a dot'
            : name !== name.trim()
              ? 'begins or ends with a blank'
              : /\p{C}/u.test(name) || !name.isWellFormed()
                ? 'has a character in it that does not show'
                : holdsSeed(name)
                  ? 'is a seed, or has one in it, which is secret'
                  : undefined;
  if (problem === undefined) return name;
  throw new StoreError('invalid_name', `this name of ${what} ${problem}; it names files, so choose another`);
}

/**
 * Whether something new may have this name. Beyond `checkName`: what commands and policies take for all of them, or for a key,
 * could not be named afterwards.
 *
 * @throws StoreError `invalid_name`
 */
export function checkNewName(name: string, what: string): string {
  checkName(name, what);
  const problem = /[*>]/.test(name)
    ? 'has a * or > in it, which stand for all'
    : isPublicKey(name)
      ? 'is a public key'
      : undefined;
  if (problem === undefined) return name;
  throw new StoreError('invalid_name', `this name of ${what} ${problem}: choose another`);
}

function isPublicKey(name: string): boolean {
  try {
    return parsePublicKey(name).kind !== undefined;
  } catch {
    return false;
  }
}
