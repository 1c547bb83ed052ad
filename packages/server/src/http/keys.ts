/** Where everybody reads the public keys of what is signed here, of all backends. */
export const KEYS_PATH = '/.well-known/keys';
/** The same, of one backend. */
export const KEYS_OF_ONE_PATH = `${KEYS_PATH}/{backend}`;

/** JWKs of what a backend signs with; without its name, of all. Undefined: there is none of this name, or it signs nothing. */
export type KeySets = (backend?: string) => readonly object[] | undefined;

/** Whether a path is that of one backend's keys. */
export const isOfOne = (path: string): boolean => path.startsWith(`${KEYS_PATH}/`);

/** The JWKS at a path; undefined: there is none. */
export function keysAt(path: string, keySets: KeySets): string | undefined {
  if (path === KEYS_PATH) return JSON.stringify({ keys: keySets() ?? [] });
  if (!isOfOne(path)) return undefined;
  const name = decoded(path.slice(KEYS_PATH.length + 1));
  const keys = name === undefined ? undefined : keySets(name);
  return keys && JSON.stringify({ keys });
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
