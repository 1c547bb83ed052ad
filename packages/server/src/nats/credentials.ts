import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CofferError } from '@coffer/engine';
import { decodeUser, IdentityError, type KeyPair, keyPairFromSeed, parseCreds } from '@coffer/identity';
import type { Auth, Authenticator, TlsOptions } from '@nats-io/transport-node';
import { credsSetting, type NatsReach, type NatsUser, sectionOf } from '../config/nats.js';
import { parseNatsServers } from './servers.js';

/**
 * Answers NATS's challenge at each connection, from the file as it is then: who renews it needs no restart. No seed stays in
 * memory.
 *
 * @param onProblem told why a file cannot be used; NATS then refuses us, and is asked again
 */
export function authenticatorOf(
  config: NatsReach,
  onProblem: (reason: string) => void,
  as: NatsUser = 'nats',
): Authenticator {
  const { login } = parseNatsServers(config.servers, sectionOf(as));
  return (nonce): Auth => {
    if (login) return 'token' in login ? { auth_token: login.token } : login;
    try {
      return withUser(config, as, (user): Auth => {
        if (user === undefined) return undefined;
        const sig = nonce ? Buffer.from(user.keys.sign(Buffer.from(nonce))).toString('base64url') : '';
        return { nkey: user.keys.publicKey, sig, ...(user.jwt !== undefined && { jwt: user.jwt }) };
      });
    } catch (error) {
      onProblem((error as Error).message);
      return undefined;
    }
  };
}

/** The files are read at each connection, too. `undefined`: TLS is the server's choice. */
export function tlsOf({ servers, tls }: NatsReach): TlsOptions | undefined {
  if (tls === undefined && !parseNatsServers(servers).tls) return undefined;
  const { ca, cert, key } = tls ?? {};
  return { ...(ca && { caFile: ca }), ...(cert && { certFile: cert }), ...(key && { keyFile: key }) };
}

/** The account that our own creds are of, by its key; undefined where nothing signed says so. */
export function ownAccount(config: NatsReach): string | undefined {
  return withUser(config, 'nats', (user) => {
    if (user?.jwt === undefined) return undefined;
    const { iss, nats } = decodeUser(user.jwt).claims;
    return nats.issuer_account ?? iss;
  });
}

/**
 * Reads all files that the connection to NATS needs, to find out whether it can be made.
 *
 * @throws CofferError `invalid_argument`, one sentence: what cannot be used
 */
export function checkNatsFiles(config: NatsReach | undefined, as: NatsUser = 'nats'): void {
  if (config === undefined) return;
  const section = sectionOf(as);
  withUser(config, as, () => {});
  const { ca, cert, key } = config.tls ?? {};
  for (const [setting, path] of [
    [`${section}.tls.ca`, ca],
    [`${section}.tls.cert`, cert],
  ] as const) {
    if (path === undefined) continue;
    const text = read(setting, path);
    try {
      new X509Certificate(text);
    } catch {
      throw refuse(`${setting}: ${path} holds no certificate (PEM)`);
    }
  }
  if (key !== undefined) read(`${section}.tls.key`, key).fill(0);
}

/** Lends the user of `creds` or `nkey`; undefined: there is neither. */
function withUser<T>(
  { creds, heldCreds, nkey }: NatsReach,
  as: NatsUser,
  use: (user: { readonly keys: KeyPair; readonly jwt?: string | undefined } | undefined) => T,
): T {
  const isCreds = creds !== undefined || heldCreds !== undefined;
  const [setting, path] = isCreds
    ? ([credsSetting(as), heldCreds ? 'what was given' : creds] as const)
    : ([`${sectionOf(as)}.nkey`, nkey] as const);
  if (path === undefined) return use(undefined);
  const content = heldCreds?.() ?? read(setting, path);
  let keys: KeyPair | undefined;
  try {
    const { jwt, seed } = isCreds ? parseCreds(content) : { jwt: undefined, seed: trimmed(content) };
    try {
      keys = keyPairFromSeed(seed);
    } finally {
      seed.fill(0);
    }
    if (keys.kind !== 'user') throw refuse(`${setting}: ${path} holds no seed of a user (SU…)`);
    return use({ keys, jwt });
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    throw refuse(`${setting}: ${path} cannot be used: ${error.message}`);
  } finally {
    keys?.wipe();
    content.fill(0);
  }
}

/** Editors end a file with a new line. */
function trimmed(content: Buffer): Buffer {
  let end = content.length;
  while (end > 0 && (content[end - 1] ?? 0) <= 0x20) end--;
  return Buffer.from(content.subarray(0, end));
}

function read(setting: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'is not there' : `cannot be read (${code})`;
    throw new CofferError('invalid_argument', `${setting}: ${path} ${reason}`, { cause });
  }
}

const refuse = (message: string): CofferError => new CofferError('invalid_argument', message);
