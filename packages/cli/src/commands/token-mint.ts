import type { ProofRequest } from '@coffer/client';
import { audienceFrom, credsFrom, type ProofOptions, read, serverFrom } from '../connection.js';
import { Failure, isClientError } from '../failure.js';
import { parseDuration } from '../numbers.js';
import { print, printJson } from '../output.js';
import { quote } from '../quote.js';
import { readStandardInput } from '../value.js';

interface Options extends ProofOptions {
  readonly for?: string;
  readonly body?: string;
  readonly id?: string;
  readonly expires?: string;
  readonly json?: boolean;
}

const LONGEST_SECONDS = 60;
const DEFAULT_SERVER = 'http://127.0.0.1:2633';

/** Prints one proof; no server is asked. */
export async function mint(options: Options): Promise<void> {
  const expiresIn = options.expires === undefined ? LONGEST_SECONDS : parseDuration(options.expires);
  if (expiresIn > LONGEST_SECONDS) throw new Failure(`a proof lasts ${LONGEST_SECONDS}s at most`);
  const audience = audienceOf(options);
  const request = await requestOf(options);
  const creds = credsFrom(options);
  if (creds === undefined)
    throw new Failure('a proof is made from a NATS creds file: use --creds FILE or COFFER_CREDS');
  const { createProof } = await import('@coffer/client');
  const id = options.id === undefined ? {} : { id: options.id };
  try {
    const proof = createProof({ creds, audience, expiresIn, ...id, ...(request && { request }) });
    await (options.json ? printJson({ proof }) : print(proof));
  } catch (error) {
    throw isClientError(error) ? new Failure(error.message) : error;
  } finally {
    creds.fill(0);
  }
}

function audienceOf(options: Options): string {
  const server = serverFrom(options) ?? DEFAULT_SERVER;
  const audience = audienceFrom(options) ?? server;
  if (audience.startsWith('unix:')) {
    throw new Failure(
      'a Unix socket has no URL that a proof could name: give that of its server by --audience',
    );
  }
  // A password in it is for the server alone.
  return audience.replace(/^(https?:\/\/)[^/?#]*@/i, '$1');
}

async function requestOf(options: Options): Promise<ProofRequest | undefined> {
  if (options.for === undefined) {
    if (options.body === undefined) return undefined;
    throw new Failure("--body is that of a change: say which by --for, as --for 'POST /api/put'");
  }
  const [, method, path] = /^([A-Za-z]+) +(\/[^\s?#]*)$/.exec(options.for) ?? [];
  if (method === undefined || path === undefined) {
    throw new Failure(`invalid request ${quote(options.for)}: write a method and a path, as 'POST /api/put'`);
  }
  return { method: method.toUpperCase(), path, body: await bodyOf(options.body) };
}

async function bodyOf(file: string | undefined): Promise<Uint8Array> {
  if (file === undefined) return new Uint8Array(0);
  return file === '-' ? readStandardInput() : read('--body', file);
}
