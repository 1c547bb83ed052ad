import type { KeyRing } from '../crypto/key-ring.js';
import { findRootKey, idOf } from '../crypto/root-key.js';
import type { RootKeyContext, RootKeySpec } from '../crypto/root-key-spec.js';
import { CofferError } from '../errors.js';
import { type Header, parseHeader } from '../header/format.js';
import { ringOf } from '../header/wrapping.js';
import { damagedPreamble, type Preamble } from './format.js';

/**
 * The ring of the store that a backup is of, by the root key that the store had then.
 *
 * @throws CofferError `wrong_root_key`, `no_root_key`, `insecure_root_key`, `newer_format`
 */
export async function openRingOf(
  preamble: Preamble,
  spec: RootKeySpec,
  context: Omit<RootKeyContext, 'development'>,
): Promise<KeyRing> {
  const header = headerOf(preamble);
  const whenMissing = {
    what: 'this backup',
    advice: 'name the root key that its store had then with --root-key',
  };
  return openRing(preamble.storeId, header, spec, { ...context, whenMissing }, (given) => {
    const known = idOf(header.rootKey);
    const id = known === undefined ? '' : ` ${known}`;
    return (
      `the root key does not open this backup, and the file is not damaged: it was made on ${preamble.madeAt.toISOString()} ` +
      `under the ${KINDS[header.rootKey.kind]}${id}, and ${given}: name the root key of that time`
    );
  });
}

/**
 * The ring in a header, without a store.
 *
 * @param explain makes the sentence for a wrong root key, from what is to be said of the one that was given
 */
export async function openRing(
  storeId: Uint8Array,
  header: Header,
  spec: RootKeySpec,
  context: Omit<RootKeyContext, 'development'>,
  explain: (given: string) => string,
): Promise<KeyRing> {
  const { development } = header;
  const wrong = (given: string) => new CofferError('wrong_root_key', explain(given));
  const found = await findRootKey(spec, header.rootKey, { ...context, development }).catch(
    (error: unknown) => {
      if (!(error instanceof CofferError) || error.code !== 'wrong_root_key') throw error;
      throw wrong(`this one is of kind ${spec.kind}:`);
    },
  );
  // A rotation that waits to be finished is the store's affair: `finish` is not called.
  const { rootKey, hint } = found;
  const ring = await ringOf(storeId, header, rootKey).finally(() => rootKey.wipe());
  if (ring) return ring;
  const given = rootKey.id === undefined ? 'this one is another' : `this one is ${rootKey.id}`;
  throw wrong(hint ? `${given}; the other is kept in ${hint}` : given);
}

/** What the backup tells of its store in clear. */
export function headerOf(preamble: Preamble): Header {
  try {
    return parseHeader(preamble.header);
  } catch (error) {
    if (error instanceof CofferError && error.code === 'tampered') throw damagedPreamble(error);
    throw error;
  }
}

const KINDS = {
  file: 'root key',
  passphrase: 'root key of a passphrase',
  'xkey-seed': 'root key of an xkey seed',
} as const;
