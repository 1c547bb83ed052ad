import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createProof, parseProof, verify, verifyProofSignature } from '@coffer/identity';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run, TemporaryFolder } from '../support/processes.mjs';
import { encodingsOf, RogueNatsServer } from '../support/rogue-nats.js';
import { peer } from '../support/servers.mjs';

/**
 * NATS clients sign whatever nonce a server sends them, with the key that signs proofs. What the JavaScript client does is a test of
 * packages/identity.
 */
const vectors = JSON.parse(
  readFileSync(new URL('../../packages/identity/test/vectors/proof.json', import.meta.url), 'utf8'),
) as { readonly creds: string; readonly publicKey: string };

const folder = new TemporaryFolder();
const file = folder.join('user.creds');
let rogue: RogueNatsServer;

beforeAll(async () => {
  writeFileSync(file, vectors.creds, { mode: 0o600 });
  rogue = await RogueNatsServer.start();
});
afterAll(async () => {
  await rogue[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const signatureBy = async (client: 'nats-connect' | 'nats-connect-c', nonce: Uint8Array) =>
  (await rogue.takeSignature(nonce, () => run(peer(client), [rogue.url, file])))?.signature;

/** What the rogue server wants signed: a change that it may choose, at a server that it may choose. */
function wanted(id: string): { readonly payload: string; readonly signed: Uint8Array } {
  const request = { method: 'POST', path: '/api/delete', body: Buffer.from('{"Name":"x"}') };
  const audience = 'https://coffer.example.com';
  const proof = createProof({ creds: Buffer.from(vectors.creds), audience, id, request });
  return { payload: proof.split('.')[1] ?? '', signed: parseProof(proof).signed };
}

function isTaken(payload: string, signature: Uint8Array): boolean {
  try {
    const proof = parseProof(`cfp1.${payload}.${Buffer.from(signature).toString('base64url')}`);
    verifyProofSignature(proof, vectors.publicKey);
    return true;
  } catch {
    return false;
  }
}

describe.each([
  ['Go', 'nats-connect'],
  ['C', 'nats-connect-c'],
] as const)('the client for %s', (_language, client) => {
  it('signs what a server wants, with the key that signs proofs', async () => {
    const text = Buffer.from('coffer-proof-v1');
    const signature = (await signatureBy(client, text)) ?? new Uint8Array();
    expect(verify(vectors.publicKey, text, signature)).toBe(true);
  });

  it.each(Object.keys(encodingsOf(new Uint8Array())))('signs no proof as a nonce: %s', async (name) => {
    const { payload, signed } = wanted('x');
    const signature = await signatureBy(client, encodingsOf(signed)[name] as Uint8Array);
    expect(signature !== undefined && isTaken(payload, signature)).toBe(false);
  });
});

describe('the client for C', () => {
  it('signs any bytes without a zero byte: that is why a proof must have one in what is signed', async () => {
    const bytes = withoutZero();
    const signature =
      (await signatureBy('nats-connect-c', encodingsOf(bytes)['raw bytes'] as Uint8Array)) ?? bytes;
    expect(verify(vectors.publicKey, bytes, signature)).toBe(true);
  });
});

/** As {@link wanted} without a salt; also without what JSON would have to escape. */
function withoutZero(): Uint8Array {
  for (let n = 0; ; n++) {
    const hash = createHash('sha256').update(String(n)).digest();
    if (hash.every((byte) => byte >= 0x20 && byte !== 0x22 && byte !== 0x5c)) {
      return Buffer.concat([Buffer.of(0xff), Buffer.from('coffer-proof-v1'), hash]);
    }
  }
}
