import { BlockList, isIP } from 'node:net';

/**
 * Whether an address lies in one of the networks of a user's `src`.
 *
 * By the rules of nats-server 2.15 (`validateSrc`): networks are looked at in their order, and one that is none lets nobody
 * in; an IPv4 address in IPv6's clothes is an IPv4 address; a link-local address with its zone, and a peer without an address,
 * lie in no network.
 *
 * @param networks in CIDR notation, `192.0.2.0/24`, `2001:db8::/32`
 * @param address as `addressOf` writes it: `unix` is none
 */
export function liesIn(networks: readonly string[], address: string): boolean {
  const family = familyOf(address);
  if (family === undefined || address.includes('%')) return false;
  for (const text of networks) {
    const network = parseNetwork(text);
    if (network === undefined) return false;
    if (network.family === family && network.list.check(address, family)) return true;
  }
  return false;
}

function parseNetwork(text: string): { readonly family: Family; readonly list: BlockList } | undefined {
  const [, address = '', digits] = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/.exec(text) ?? [];
  const family = familyOf(address);
  const bits = Number(digits);
  if (family === undefined || bits > (family === 'ipv4' ? 32 : 128)) return undefined;
  const list = new BlockList();
  list.addSubnet(address, bits, family);
  return { family, list };
}

type Family = 'ipv4' | 'ipv6';

function familyOf(address: string): Family | undefined {
  return ({ 4: 'ipv4', 6: 'ipv6' } as const)[isIP(address)];
}
