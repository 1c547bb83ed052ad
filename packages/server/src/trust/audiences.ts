import { audienceOf } from '@coffer/identity';
import type { ServerConfig } from '../config/config.js';
import { formatAddress, isLoopback, type ListenAddress } from '../listen/address.js';

/**
 * The URLs that a proof for this server may name: what the configuration says, or, where it says nothing and only this
 * machine's own programs come, the address itself. Never what a request says.
 *
 * @param address with the port that the server got; undefined: it has none
 */
export function audiencesOf(
  { publicUrl, trust, tls }: Pick<ServerConfig, 'publicUrl' | 'trust' | 'tls'>,
  address: ListenAddress | undefined,
): readonly string[] {
  const stated = [...(publicUrl === undefined ? [] : [publicUrl]), ...(trust?.audiences ?? [])];
  if (stated.length > 0) return stated.map(audienceOf);
  if (address === undefined || !isLoopback(address.host)) return [];
  const hosts = new Set(['127.0.0.1', 'localhost', address.host]);
  const scheme = tls === undefined ? 'http' : 'https';
  return [...hosts].map((host) => audienceOf(`${scheme}://${formatAddress({ ...address, host })}`));
}
