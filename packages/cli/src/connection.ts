import { readFileSync } from 'node:fs';
import type { Client } from '@coffer/client';
import { Failure, isClientError, systemReason } from './failure.js';
import { note } from './output.js';

/** Which server to talk to and as whom; on every command that talks to one. */
export interface ConnectionOptions {
  readonly server?: string;
  readonly tokenFile?: string;
  readonly ca?: string;
}

/** Runs `use` with a client, whose connections end with it: an open one would hold the process for seconds. */
export async function withClient<T>(
  options: ConnectionOptions,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = await connect(options);
  if (client.exposed && !process.env.COFFER_INSECURE_HTTP) await note(exposure(client.server));
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** Flag, then environment, then default. An empty variable counts as none. */
async function connect(options: ConnectionOptions): Promise<Client> {
  const { Client } = await import('@coffer/client');
  const server = options.server || process.env.COFFER_SERVER || process.env.SETEC_SERVER;
  const token = options.tokenFile === undefined ? process.env.COFFER_TOKEN : tokenFrom(options.tokenFile);
  try {
    return new Client({
      ...(server ? { server } : {}),
      ...(token ? { token } : {}),
      ...(options.ca === undefined ? {} : { ca: read('--ca', options.ca) }),
    });
  } catch (error) {
    throw isClientError(error) ? new Failure(error.message) : error;
  }
}

const exposure = (server: string): string =>
  `coffer: warning: ${server} is reached without TLS, so everybody on the way can read the token and the secrets: ` +
  'use https://, or set COFFER_INSECURE_HTTP=1 if the network itself encrypts';

function tokenFrom(path: string): string {
  const token = read('--token-file', path).toString('utf8').trim();
  if (token === '') throw new Failure(`--token-file ${path} is empty: write the token into it`);
  return token;
}

function read(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Failure(`cannot read ${option} ${path}: ${systemReason(error)}`);
  }
}
