import { CofferError } from '@coffer/engine';

/** Where to listen. Port 0: any free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `HOST:PORT`, an IPv6 address in brackets: `127.0.0.1:2633`, `localhost:0`, `[::1]:2633`.
 *
 * @throws CofferError `invalid_argument`
 */
export function parseListenAddress(text: string): ListenAddress {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || !(port <= 65_535)) {
    throw new CofferError(
      'invalid_argument',
      `the address to listen on must be HOST:PORT, such as 127.0.0.1:2633 or [::1]:2633, not ${JSON.stringify(text)}`,
    );
  }
  return { host, port };
}

/** In place of an address: no TCP door. */
export const LISTEN_NOWHERE = 'none';

/** @returns undefined for `none` @throws CofferError as {@link parseListenAddress} */
export function listenAddress(text: string): ListenAddress | undefined {
  return text === LISTEN_NOWHERE ? undefined : parseListenAddress(text);
}

export function formatAddress({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Only this machine's own programs reach such an address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * Whether a `Host` header names this machine by a name that no stranger's DNS can point here. A page of a website
 * that rebinds its own name to 127.0.0.1 sends that name, and is refused.
 */
export function isLocalHostHeader(header: string | undefined): boolean {
  return /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/i.test(header ?? '');
}

/**
 * Whose an address is: of IPv6 the first 64 bits, since that is what one customer or machine has; an IPv4 address in
 * IPv6's clothes as IPv4.
 *
 * @param address as node writes it: `192.0.2.1`, `::ffff:192.0.2.1`, `2001:db8::1`, `fe80::1%eth0`
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice('::ffff:'.length);
  const [head = '', tail] = (address.split('%', 1)[0] as string).split('::', 2);
  const left = head === '' ? [] : head.split(':');
  // What "::" stands for is all zeros, and so is the network where there are fewer than four groups before it.
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const groups = [...left, ...Array<string>(Math.max(0, zeros)).fill('0'), ...right];
  return `${groups.slice(0, 4).join(':')}::/64`;
}
