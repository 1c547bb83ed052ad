const MOST_CHARACTERS = 2048;

/**
 * A path of Vault's that came from outside, as it stands in a URL: each part of it encoded, none empty, `.` or `..`, so that it
 * leads nowhere but beneath what it is put behind.
 *
 * @returns undefined for what is no such path
 */
export function encodedPath(path: string): string | undefined {
  if (path.length > MOST_CHARACTERS || !path.isWellFormed() || /\p{Cc}/u.test(path)) return undefined;
  const parts = path.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) return undefined;
  return parts.map(encodeURIComponent).join('/');
}

/** Without the slashes at its ends, with which people write mounts and namespaces. */
export const trimmedPath = (path: string): string => path.replace(/^\/|\/$/g, '');
