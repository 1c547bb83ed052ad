import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { ClientOptions } from './client.js';
import { CofferClientError, invalid } from './errors.js';
import { isToken } from './http/credential.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Calls `use` with these options, and with what the variables say of those that are not given; see `Client.fromEnv`. */
export function withEnvironment<T>(
  env: Environment,
  options: ClientOptions,
  use: (options: ClientOptions) => T,
): T {
  const { token, creds = token, ca } = options;
  const server = env.COFFER_SERVER || env.SETEC_SERVER;
  const said: ClientOptions = {
    ...(server && { server }),
    ...(env.COFFER_AUDIENCE && { audience: env.COFFER_AUDIENCE }),
    ...(ca === undefined && env.COFFER_CA && { ca: fileOf(env, 'COFFER_CA') }),
    ...(creds === undefined && credentialOf(env)),
  };
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  try {
    return use({ ...said, ...Object.fromEntries(given) });
  } finally {
    if (said.creds instanceof Uint8Array) said.creds.fill(0);
  }
}

const CREDENTIALS = ['COFFER_TOKEN', 'COFFER_TOKEN_FILE', 'COFFER_CREDS'] as const;

function credentialOf(env: Environment): Pick<ClientOptions, 'token' | 'creds'> {
  const [name, another] = CREDENTIALS.filter((each) => env[each]);
  if (another) throw invalid(`${name} and ${another} are both set: unset one of them`);
  if (name === undefined) return {};
  const value = env[name] as string;
  if (name === 'COFFER_TOKEN') return { token: value };
  if (name === 'COFFER_CREDS') return { creds: fileOf(env, name) };
  // So that a wrong path is told at once.
  fileOf(env, name).fill(0);
  return { token: () => tokenIn(value) };
}

function fileOf(env: Environment, name: string): Buffer {
  try {
    return readFileSync(env[name] as string);
  } catch (error) {
    throw invalid(unreadable(name, env[name] as string, error));
  }
}

async function tokenIn(path: string): Promise<string> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    throw new CofferClientError('no_token', unreadable('COFFER_TOKEN_FILE', path, error));
  }
  const token = content.trim();
  if (isToken(token)) return token;
  throw new CofferClientError('no_token', `COFFER_TOKEN_FILE: ${path} holds no token`);
}

/** Shows what is a path, and not a token or creds in place of one. */
const unreadable = (variable: string, path: string, error: unknown) =>
  `${variable}: ${/^(\.{0,2}\/|[A-Za-z]:\\)[^\n]*$/.test(path) ? path : 'the file'} cannot be read (${(error as NodeJS.ErrnoException).code})`;
