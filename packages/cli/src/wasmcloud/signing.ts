import type { Admin, TransitKey } from '@coffer/client/admin';
import { during, Failure } from '../failure.js';
import { print, printJson, table } from '../output.js';
import { askToGoOn } from '../question.js';
import { displayName } from '../quote.js';
import { instant, onServer, type TransitOptions } from './transit.js';

/** `coffer wasmcloud signing-keys`: the keys with which a backend signs, as for its log-ins to Vault. */

const DEFAULT_BACKEND = 'vault';
const PUBLIC_KEY = /^N[A-Z2-7]{55}$/;

/** A log-in token is valid for a minute, and Vault may have kept the keys for a while. */
const OVERLAP =
  'what it signed in the last minute is then refused, and so is what an instance signs that has not heard of a newer key';

export async function list({ name, json, ...options }: TransitOptions): Promise<void> {
  const all = await onServer(options, (admin) => during('failed to list signing keys', admin.signingKeys()));
  const keys = all.filter(({ backend }) => name === undefined || backend === name);
  if (json) return printJson({ keys });
  if (keys.length === 0) {
    return print('There are none: the server makes the first one when it serves a backend of kind vault.');
  }
  await print(table([['BACKEND', 'KEY', 'STATE', 'CREATED'], ...keys.map(row)]));
}

export async function rotate({ name = DEFAULT_BACKEND, json, ...options }: TransitOptions): Promise<void> {
  await onServer(options, async (admin) => {
    const key = await during('failed to rotate the signing key', admin.rotateSigningKey(name));
    if (json) return printJson(key);
    await print(
      `${key.publicKey} signs the log-ins of ${displayName(name)} in ten seconds, when all instances know it. The older ones stay at ` +
        `${pathOf(name)} until you retire them; after a minute they are of no use any more.`,
    );
  });
}

export async function retire(
  publicKey: string,
  { name: backend = DEFAULT_BACKEND, yes = false, ...options }: TransitOptions & { readonly yes?: boolean },
): Promise<void> {
  // What is no public key may be a seed: it is neither sent nor shown.
  if (!PUBLIC_KEY.test(publicKey)) {
    throw new Failure(
      'KEY is a public key: 56 characters, beginning with N; "coffer wasmcloud signing-keys list" lists them',
    );
  }
  await onServer(options, async (admin) => {
    // That one which is not there, or is the current one, stays is the server's to say.
    if (!yes && (await isOlder(admin, { backend, publicKey }))) {
      await askToGoOn(`This key goes from ${pathOf(backend)}: ${OVERLAP}`, {
        refused: 'nothing was retired',
      });
    }
    await during('failed to retire the signing key', admin.retireTransitKey({ backend, publicKey }));
    await print(
      `${publicKey} is retired: nothing is signed with it any more, for good. Each Vault takes it until it reads the keys anew. The server ` +
        'now has it do so at every auth method where somebody has logged in since the server began, and says in its log where that fails. ' +
        'If the key has leaked, write the configuration of the others again (vault write auth/jwt/config jwks_url=…).',
    );
  });
}

async function isOlder(
  admin: Admin,
  { backend, publicKey }: Pick<TransitKey, 'backend' | 'publicKey'>,
): Promise<boolean> {
  const keys = await during('failed to list signing keys', admin.signingKeys());
  return keys.some((key) => key.backend === backend && key.publicKey === publicKey && !key.current);
}

/** Where Vault reads the keys of a backend. */
const pathOf = (backend: string): string => `/.well-known/keys/${encodeURIComponent(backend)}`;

const row = ({ backend, publicKey, current, createdAt }: TransitKey): string[] => [
  displayName(backend),
  publicKey,
  current ? 'current' : 'believed',
  instant(createdAt),
];
