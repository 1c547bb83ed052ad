import sodium from 'sodium-native';

import { secureBuffer, wipe } from './secure-memory.js';
import { publicKeyText } from './xkey.js';

/** Makes it begin with `N`, as a server's key: nats-io/nkeys. */
const PUBLIC_PREFIX = [13 << 3];
const PUBLIC_FORM = /^N[A-Z2-7]{55}$/;

/** Whether it looks like one: letter, length and alphabet. */
export const isPublicSigningKey = (text: string): boolean => PUBLIC_FORM.test(text);

/** The public nkey (Ed25519, `N…`) of a seed's 32 bytes. */
export function publicSigningKeyOf(seed: Uint8Array): string {
  const secret = secureBuffer(sodium.crypto_sign_SECRETKEYBYTES);
  const own = secureBuffer(sodium.crypto_sign_SEEDBYTES);
  const key = Buffer.alloc(sodium.crypto_sign_PUBLICKEYBYTES);
  own.set(seed);
  sodium.crypto_sign_seed_keypair(key, secret, own);
  wipe(secret);
  wipe(own);
  return publicKeyText(PUBLIC_PREFIX, key);
}
