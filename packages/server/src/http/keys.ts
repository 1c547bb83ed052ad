/** Where everybody reads the public keys of what is signed here, of all backends. */
export const KEYS_PATH = '/.well-known/keys';
/** The same, of one backend. */
export const KEYS_OF_ONE_PATH = `${KEYS_PATH}/{backend}`;

/** JWKs of what a backend signs with; without its name, of all. Of one that there is not, or that signs nothing: none. */
export type KeySets = (backend?: string) => readonly object[];

/** Whether a path is that of one backend's keys. */
export const isOfOne = (path: string): boolean => path.startsWith(`${KEYS_PATH}/`);

/** The JWKS at a path; undefined: the path is another. */
export function keysAt(path: string, keySets: KeySets): string | undefined {
  if (path === KEYS_PATH) return JSON.stringify({ keys: keySets() });
  if (!isOfOne(path)) return undefined;
  const name = decoded(path.slice(KEYS_PATH.length + 1));
  return JSON.stringify({ keys: name === undefined ? [] : keySets(name) });
}

/** The path of a backend's keys. */
export const keysPathOf = (backend: string): string => `${KEYS_PATH}/${encodeURIComponent(backend)}`;

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
