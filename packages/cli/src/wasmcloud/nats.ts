import { decodeUser, type KeyPair, keyPairFromFile, keyPairFromSeed, parseCreds } from '@coffer/identity';
import { type Auth, connect, errors, type NatsConnection } from '@nats-io/transport-node';
import { caFrom, read } from '../connection.js';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';

/** How NATS is reached, and as whom. */
export interface NatsOptions {
  readonly natsAddress?: string;
  readonly natsCredsFile?: string;
  readonly natsNkeyFile?: string;
  readonly natsCa?: string;
  /** The creds by which the request itself is signed; NATS is shown them, too, where no others are named. */
  readonly creds?: string;
}

const DEFAULT_ADDRESS = '127.0.0.1:4222';
const CONNECT_MS = 5_000;

/**
 * Connects as the user of the creds or of the key that is named, once: a command does not wait for a server to come back.
 *
 * @throws Failure
 */
export async function connectNats(options: NatsOptions): Promise<NatsConnection> {
  const { addresses, tls, login } = parseAddress(options.natsAddress ?? DEFAULT_ADDRESS);
  const user = userOf(options);
  if (user !== undefined && login !== undefined) {
    throw new Failure(`--nats-address names a user, and ${user.named} another: leave one of them out`);
  }
  const ca = caFrom('--nats-ca', options.natsCa);
  const where = addresses.join(', ');
  try {
    return await connect({
      servers: [...addresses],
      name: 'coffer',
      timeout: CONNECT_MS,
      reconnect: false,
      authenticator: (nonce) => login ?? user?.answer(nonce),
      ...((tls || ca !== undefined) && { tls: { ...(ca && { ca: ca.toString() }) } }),
    });
  } catch (error) {
    const named = login === undefined ? user?.named : '--nats-address';
    throw new Failure(`cannot connect to NATS at ${where}: ${reasonOf(error, named)}`);
  } finally {
    user?.wipe();
  }
}

/** The creds file by which NATS is shown who comes, as the options and the environment say. */
export function natsCredsOf({ natsCredsFile, natsNkeyFile, creds }: NatsOptions): Named | undefined {
  if (natsCredsFile !== undefined && natsNkeyFile !== undefined) {
    throw new Failure('use either --nats-creds-file or --nats-nkey-file');
  }
  if (natsCredsFile !== undefined) return { named: '--nats-creds-file', path: natsCredsFile };
  if (natsNkeyFile !== undefined) return undefined;
  if (process.env.NATS_CREDSFILE) return { named: 'NATS_CREDSFILE', path: process.env.NATS_CREDSFILE };
  return creds === undefined ? undefined : { named: '--creds', path: creds };
}

/** A file, and what names it. */
export interface Named {
  readonly named: string;
  readonly path: string;
}

interface User {
  readonly named: string;
  /** What it says to a server's challenge. */
  answer(nonce: string | undefined): Auth;
  wipe(): void;
}

function userOf(options: NatsOptions): User | undefined {
  const { natsNkeyFile } = options;
  const creds = natsCredsOf(options);
  if (creds !== undefined) return userOfCreds(creds);
  if (natsNkeyFile === undefined) return undefined;
  const pair = keyPairFromFile(natsNkeyFile);
  if (pair?.kind === 'user') return asUser(`--nats-nkey-file ${natsNkeyFile}`, pair);
  pair?.wipe();
  throw new Failure(
    pair === undefined
      ? `cannot read --nats-nkey-file ${natsNkeyFile}: no such file`
      : `--nats-nkey-file ${natsNkeyFile} holds the seed of no user: it begins with SU`,
  );
}

function userOfCreds({ named, path }: Named): User {
  const bytes = read(named, path);
  try {
    const { jwt, seed } = parseCreds(bytes);
    try {
      decodeUser(jwt);
      return asUser(`${named} ${path}`, keyPairFromSeed(seed), jwt);
    } finally {
      seed.fill(0);
    }
  } finally {
    bytes.fill(0);
  }
}

function asUser(named: string, pair: KeyPair, jwt?: string): User {
  return {
    named,
    answer: (nonce): Auth => {
      const sig = nonce ? Buffer.from(pair.sign(Buffer.from(nonce))).toString('base64url') : '';
      return { nkey: pair.publicKey, sig, ...(jwt !== undefined && { jwt }) };
    },
    wipe: () => pair.wipe(),
  };
}

type Login = { readonly user: string; readonly pass: string } | { readonly auth_token: string };

interface Address {
  readonly addresses: readonly string[];
  /** One of them wants it in so many words. */
  readonly tls: boolean;
  readonly login: Login | undefined;
}

const FORM = /^(?:(nats|tls):\/\/)?(?:([^@/\s]*)@)?(\[[0-9a-f:.]+\]|[^:@/[\]\s]+)(?::(\d{1,5}))?\/?$/i;

/** Reads `HOST:PORT` or a URL, several with commas between them; a user may stand before an `@`. */
function parseAddress(text: string): Address {
  const read = text.split(',').map((one) => {
    const [, scheme, login, host, port] = FORM.exec(one.trim()) ?? [];
    if (host === undefined || Number(port ?? 1) > 65_535) {
      throw new Failure(
        `invalid --nats-address ${quote(withoutLogin(one))}: write HOST:PORT, nats://HOST:PORT or tls://HOST:PORT, such as 127.0.0.1:4222`,
      );
    }
    return { address: port === undefined ? host : `${host}:${port}`, scheme, login };
  });
  const login = read.find((one) => one.login)?.login;
  return {
    addresses: read.map(({ address }) => address),
    tls: read.some(({ scheme }) => scheme?.toLowerCase() === 'tls'),
    login: login === undefined ? undefined : loginOf(login),
  };
}

/** What stands before an @ may be a password. */
const withoutLogin = (address: string): string =>
  address.replace(/^(?:.*@)?/, (login) => (login === '' ? '' : '…@'));

function loginOf(text: string): Login {
  const [user = '', ...rest] = text.split(':');
  try {
    if (rest.length === 0) return { auth_token: decodeURIComponent(user) };
    return { user: decodeURIComponent(user), pass: decodeURIComponent(rest.join(':')) };
  } catch {
    throw new Failure('the user in --nats-address is not percent-encoded as URLs want it');
  }
}

function reasonOf(error: unknown, named: string | undefined): string {
  if (error instanceof errors.UserAuthenticationExpiredError) {
    return `the creds have expired (${named}): ask whoever gave them to you for new ones`;
  }
  if (error instanceof errors.AuthorizationError) {
    return named === undefined
      ? 'it does not let in who comes with nothing: use --nats-creds-file FILE or NATS_CREDSFILE'
      : `it does not let in the user of ${named}`;
  }
  const { message, code } = causeOf(error);
  if (code === 'ECONNREFUSED' || /ECONNREFUSED|connection refused/i.test(message)) {
    return 'connection refused: check that nats-server runs, and that --nats-address is right';
  }
  if (error instanceof errors.TimeoutError || /timeout/i.test(message)) {
    return `no answer within ${CONNECT_MS / 1000} s: check that --nats-address is right`;
  }
  if (/certificate|self.signed|unable to verify/i.test(message)) {
    return `${message}: --nats-ca FILE names the authorities to trust`;
  }
  return message === '' ? 'the connection ended before it was made' : message;
}

function causeOf(error: unknown): { message: string; code?: string | undefined } {
  const { cause } = error as { cause?: unknown };
  const inner = (cause instanceof Error ? cause : error) as NodeJS.ErrnoException;
  return { message: inner.message || (error as Error).message || '', code: inner.code };
}
