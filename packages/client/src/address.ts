import { invalid } from './errors.js';

/** Where a server is, and the credential that its URL carried. */
export interface Address {
  /** For messages: the address without user name and password. */
  readonly display: string;
  readonly secure: boolean;
  readonly endpoint: { readonly host: string; readonly port: number } | { readonly socketPath: string };
  /** What stands before `/api/…`: empty, or a path without a slash at its end. */
  readonly basePath: string;
  /** The value of an `Authorization: Basic` header, when the URL held a password. */
  readonly basic?: string;
}

const FORMS = 'write http://HOST:PORT, https://HOST:PORT or unix:PATH';

/**
 * Reads `http(s)://…` or `unix:PATH`. A password in the URL becomes an HTTP Basic credential, as in setec's
 * clients; coffer takes a bearer token there.
 *
 * @throws CofferClientError `invalid_argument`, with a message that never holds the password.
 */
export function parseAddress(text: string): Address {
  if (text.startsWith('unix:')) return unixAddress(text.slice('unix:'.length));

  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    // What looks like anything else may be, or hold, a token.
    const shown = /^(\w+:\/\/)?[\w.-]+:\d+$/.test(text) ? JSON.stringify(text) : 'this';
    throw invalid(`${shown} is no server address: ${FORMS}`);
  }
  const basePath = url.pathname.replace(/\/+$/, '');
  const display = `${url.origin}${basePath}`;
  if (url.search !== '' || url.hash !== '') {
    throw invalid(`a server address ends with its path: write ${display}`);
  }
  if (url.username !== '' && url.password === '') {
    throw invalid(
      `the address of ${display} has a user name without a password: write https://any:TOKEN@HOST`,
    );
  }
  const secure = url.protocol === 'https:';
  return {
    display,
    secure,
    endpoint: {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    },
    basePath,
    ...(url.password === '' ? {} : { basic: basicCredential(url, display) }),
  };
}

function unixAddress(socketPath: string): Address {
  if (socketPath === '' || socketPath.includes('\0')) {
    throw invalid(`unix: needs the path of a socket: ${FORMS}`);
  }
  return { display: `unix:${socketPath}`, secure: false, endpoint: { socketPath }, basePath: '' };
}

function basicCredential(url: URL, display: string): string {
  try {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return `Basic ${Buffer.from(pair).toString('base64')}`;
  } catch {
    throw invalid(`the password in the address of ${display} is not well encoded`);
  }
}

/** Nobody but this machine's own programs hears what is sent there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * The one way to write a server's URL as an audience.
 *
 * @throws CofferClientError `invalid_argument`
 */
export function audienceOf(url: string): string {
  const { display, basic } = /^https?:/i.test(url) ? parseAddress(url) : { display: '' };
  if (basic !== undefined || !/^https?:\/\/[\x21-\x7e]{1,500}$/.test(display)) {
    throw invalid(
      'an audience is the URL of a server, as https://coffer.example.com, without user or password',
    );
  }
  return display;
}
