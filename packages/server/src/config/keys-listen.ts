import { CofferError } from '@coffer/engine';
import { formatAddress, isLoopback, type ListenAddress, parseListenAddress } from '../listen/address.js';

const CLEAR = /^http:\/\//;

/** Where the keys are shown, in clear: `HOST:PORT`, or `http://HOST:PORT`. @throws CofferError `invalid_argument` */
export const keysListenAddress = (text: string): ListenAddress => parseListenAddress(text.replace(CLEAR, ''));

/**
 * Refuses to show the keys to a network in clear, unless it is said in so many words.
 *
 * @throws CofferError `invalid_argument`
 */
export function checkKeysListen(text: string): void {
  const address = keysListenAddress(text);
  if (CLEAR.test(text) || isLoopback(address.host)) return;
  const where = formatAddress(address);
  throw new CofferError(
    'invalid_argument',
    `jwksListen: ${where} can be reached from other machines, and is not under TLS: whoever changes the keys on their way is anybody ` +
      `to Vault. Let Vault read them at listen, with tls; or write http://${where} where nobody else is on the way`,
  );
}
