import { CofferError } from '@coffer/engine';
import type { NatsSection } from '../config/nats.js';

/** Where NATS is, and who says so of itself in the URLs. */
export interface NatsServers {
  /** `HOST:PORT`, with nothing secret in it; for a server on NATS's own port `HOST` alone. */
  readonly addresses: readonly string[];
  /** One of them wants TLS in so many words: no connection is made without. */
  readonly tls: boolean;
  readonly login?: NatsLogin | undefined;
}

export type NatsLogin = { readonly user: string; readonly pass: string } | { readonly token: string };

const URL_FORM = /^(?:(nats|tls):\/\/)?(?:([^@/\s]*)@)?(\[[0-9a-fA-F:.]+\]|[^:@/[\]\s]+)(?::(\d{1,5}))?\/?$/i;

/**
 * Reads `nats://HOST:PORT`, `tls://HOST:PORT` or `HOST:PORT`, with `USER:PASSWORD@` or `TOKEN@` before the host.
 *
 * @throws CofferError `invalid_argument`, which quotes nothing
 */
export function parseNatsServers(servers: readonly string[], section: NatsSection = 'nats'): NatsServers {
  const read = servers.map((server) => parseServer(server, section));
  const [login, ...others] = [
    ...new Map(read.flatMap(({ login }) => (login ? [[JSON.stringify(login), login]] : []))).values(),
  ];
  if (others.length > 0) {
    throw refuse(`${section}.servers names several users: it is one user at all servers`);
  }
  return {
    addresses: read.map(({ address }) => address),
    tls: read.some(({ tls }) => tls),
    ...(login && { login }),
  };
}

/** The same URL with nothing secret in it, for people. */
export const maskLogin = (url: string): string => url.replace(/^((?:\w+:\/\/)?)[^@/\s]*@/, '$1…@');

function parseServer(
  text: string,
  section: NatsSection,
): {
  readonly address: string;
  readonly tls: boolean;
  readonly login: NatsLogin | undefined;
} {
  const [, scheme = 'nats', login, host, port] = URL_FORM.exec(text) ?? [];
  if (host === undefined || Number(port ?? 1) > 65_535) {
    throw refuse(`${section}.servers takes URLs such as nats://127.0.0.1:4222 and tls://nats.example.com`);
  }
  const address = port === undefined ? host : `${host}:${port}`;
  return { address, tls: scheme.toLowerCase() === 'tls', login: login ? loginOf(login, section) : undefined };
}

function loginOf(text: string, section: NatsSection): NatsLogin {
  const [first = '', ...rest] = text.split(':');
  try {
    if (rest.length === 0) return { token: decodeURIComponent(first) };
    return { user: decodeURIComponent(first), pass: decodeURIComponent(rest.join(':')) };
  } catch {
    throw refuse(`a user or password in ${section}.servers is not percent-encoded as URLs want it`);
  }
}

const refuse = (message: string): CofferError => new CofferError('invalid_argument', message);
