import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import sodium from 'sodium-native';
import { onTestFinished } from 'vitest';

import { publicXkeyOf } from '../src/crypto/xkey.js';
import type { Caller, CofferError, EngineOptions, NewTransitKey, Signer } from '../src/index.js';
import { Engine, parseRootKey } from '../src/index.js';

/** Every right, on every secret. */
export const admin: Caller = { principals: [{ id: 'socket', kind: 'socket' }], address: 'unix' };

/** A caller with no right but what grants give it. Its kind is not that of tokens: no such token is in the store, and it would have ended. */
export const token = (id: string): Caller => ({
  principals: [{ id: `token:${id}`, kind: 'nats', name: `name of ${id}` }],
  address: '192.0.2.7',
});

const ACCOUNT = `A${'B'.repeat(55)}`;

/** A caller that its NATS identity brought in, as long as `isLive` says so. */
export const identity = (
  name: string,
  { expiresAt, isLive = () => true }: { expiresAt?: Date; isLive?: () => boolean } = {},
): Caller => ({
  principals: [
    { id: `nats:${ACCOUNT}/${`U${name.toUpperCase()}`.padEnd(56, 'A')}`, kind: 'nats', name },
    { id: `nats-tag:${ACCOUNT}:dev`, kind: 'nats-tag' },
  ],
  address: '192.0.2.8',
  session: { ...(expiresAt && { expiresAt }), isLive },
});

export const bytes = (text: string): Buffer => Buffer.from(text);
export const text = (value: Uint8Array): string => Buffer.from(value).toString();

/** A folder that is gone after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'coffer-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export function newTransitKey(backend = 'nats-kv'): NewTransitKey {
  const seed = Buffer.alloc(32);
  sodium.randombytes_buf(seed);
  return { backend, publicKey: publicXkeyOf(seed), seed };
}

/** An Ed25519 signer whose public key is hex; the server's is an nkey. */
export function createSigner(seed: Uint8Array): Signer {
  const publicKey = Buffer.alloc(sodium.crypto_sign_PUBLICKEYBYTES);
  const secretKey = sodium.sodium_malloc(sodium.crypto_sign_SECRETKEYBYTES);
  sodium.crypto_sign_seed_keypair(publicKey, secretKey, Buffer.from(seed));
  return {
    publicKey: publicKey.toString('hex'),
    sign(message) {
      const signature = Buffer.alloc(sodium.crypto_sign_BYTES);
      sodium.crypto_sign_detached(signature, Buffer.from(message), secretKey);
      return signature;
    },
  };
}

export const verifySignature = (message: Uint8Array, signature: Uint8Array, publicKey: string): boolean =>
  signature.length === sodium.crypto_sign_BYTES &&
  sodium.crypto_sign_verify_detached(
    Buffer.from(signature),
    Buffer.from(message),
    Buffer.from(publicKey, 'hex'),
  );

export interface TestEngine {
  readonly engine: Engine;
  /** `folder/state` is the state folder, `folder/root.key` the root key. */
  readonly folder: string;
  readonly stateDir: string;
  readonly notices: string[];
  readonly fatal: CofferError[];
}

/** Options of an engine in `folder`; tests override what they are about. */
export const engineOptions = (folder: string, overrides: Partial<EngineOptions> = {}): EngineOptions => ({
  stateDir: join(folder, 'state'),
  rootKey: parseRootKey(`file:${join(folder, 'root.key')}`),
  createSigner,
  storage: { minFreeBytes: 0 },
  onFatal: (error) => {
    throw error;
  },
  ...overrides,
});

/** An engine on a store of its own, or on the one in `folder`; closed after the test. */
export async function openEngine(
  folder?: string,
  overrides: Partial<EngineOptions> = {},
): Promise<TestEngine> {
  const place = folder ?? (await temporaryFolder());
  const notices: string[] = [];
  const fatal: CofferError[] = [];
  const engine = await Engine.open(
    engineOptions(place, {
      onNotice: (sentence) => notices.push(sentence),
      onFatal: (error) => fatal.push(error),
      ...overrides,
    }),
  );
  onTestFinished(() => engine.close());
  return { engine, folder: place, stateDir: join(place, 'state'), notices, fatal };
}

/** The `code` that a promise rejects with; a promise that resolves fails the test. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: CofferError) => ({ error }),
  );
  if ('value' in outcome) throw new Error(`expected a rejection, got ${JSON.stringify(outcome.value)}`);
  return outcome.error.code;
}
