import type { Admin, TransitKey } from '@coffer/client/admin';
import { type ConnectionOptions, withAdmin } from '../connection.js';
import { during, Failure } from '../failure.js';
import { print, printJson, table } from '../output.js';
import { askToGoOn } from '../question.js';
import { displayName } from '../quote.js';
import { DEFAULT_NAME } from './address.js';

export interface TransitOptions extends ConnectionOptions {
  readonly name?: string;
  readonly json?: boolean;
}

/** A server for wasmCloud alone has no HTTP; and here `-s`, which other commands speak of, is none of a server. */
export async function onServer<T>(options: ConnectionOptions, use: (admin: Admin) => Promise<T>): Promise<T> {
  try {
    return await withAdmin(options, use);
  } catch (error) {
    const { message } = error as Error;
    if (!(error instanceof Failure) || !message.includes('; -s URL or COFFER_SERVER')) throw error;
    const [what] = message.split('; -s URL or COFFER_SERVER');
    throw new Failure(
      `${what}; --server unix:STATE/admin.sock, or COFFER_SERVER, names the server: STATE is the state folder that "coffer ` +
        'wasmcloud run" shows',
    );
  }
}

const PUBLIC_KEY = /^X[A-Z2-7]{55}$/;

export async function list({ name, json, ...options }: TransitOptions): Promise<void> {
  const all = await onServer(options, (admin) => during('failed to list transit keys', admin.transitKeys()));
  const sealing = all.filter(({ publicKey }) => PUBLIC_KEY.test(publicKey));
  const keys = sealing.filter(({ backend }) => name === undefined || backend === name);
  if (json) return printJson({ keys });
  if (keys.length === 0)
    return print('There are none: the server makes the first one when it serves a backend.');
  await print(table([['BACKEND', 'KEY', 'STATE', 'CREATED', 'LAST USED'], ...keys.map(row)]));
}

export async function rotate({ name = DEFAULT_NAME, json, ...options }: TransitOptions): Promise<void> {
  await onServer(options, async (admin) => {
    const key = await during('failed to rotate the transit key', admin.rotateTransitKey(name));
    if (json) return printJson(key);
    await print(
      `${key.publicKey} is the current transit key of ${displayName(name)}: hosts that start are told it. The older ones are ` +
        'served until you retire them; "coffer wasmcloud transit-keys" shows whether they are in use.',
    );
  });
}

export async function retire(
  publicKey: string,
  { name: backend = DEFAULT_NAME, yes = false, ...options }: TransitOptions & { readonly yes?: boolean },
): Promise<void> {
  // What is no public key may be a seed: it is neither sent nor shown.
  if (!PUBLIC_KEY.test(publicKey)) {
    throw new Failure(
      'KEY is a public key: 56 characters, beginning with X; "coffer wasmcloud transit-keys" lists them',
    );
  }
  await onServer(options, async (admin) => {
    if (!yes) {
      const keys = await during('failed to list transit keys', admin.transitKeys());
      await askIfInUse(keys.find((key) => key.backend === backend && key.publicKey === publicKey));
    }
    await during('failed to retire the transit key', admin.retireTransitKey({ backend, publicKey }));
    await print(`${publicKey} is retired: what is sealed to it is served no more, for good.`);
  });
}

async function askIfInUse(key: TransitKey | undefined): Promise<void> {
  // That the current one stays is the server's to say.
  if (key === undefined || key.current) return;
  // A server that was started a moment ago has seen no use of any.
  const use =
    key.lastUsedAt === undefined
      ? 'This key was not used since the server began, which may be a moment ago'
      : `This key was last used at ${instant(key.lastUsedAt)}`;
  await askToGoOn(`${use}: hosts that know no other get no secrets until they are started anew`, {
    refused: 'nothing was retired',
  });
}

const row = ({ backend, publicKey, current, createdAt, lastUsedAt }: TransitKey): string[] => [
  displayName(backend),
  publicKey,
  current ? 'current' : 'served',
  instant(createdAt),
  lastUsedAt ? instant(lastUsedAt) : '-',
];

/** RFC 3339 in UTC, to the second. */
export const instant = (time: Date): string => time.toISOString().replace(/\.\d+Z$/, 'Z');
