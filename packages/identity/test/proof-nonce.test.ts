import { connect, credsAuthenticator } from '@nats-io/transport-node';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodingsOf, RogueNatsServer } from '../../../test/support/rogue-nats.js';
import { createProof, parseProof, verify, verifyProofSignature } from '../src/index.js';
import { vectors } from './proof-vectors.js';

/**
 * A NATS client signs, with the user's key, whatever nonce a NATS server sends it. A server that may choose what is signed must get no
 * signature out of it that is a proof's.
 */
let rogue: RogueNatsServer;
beforeAll(async () => {
  rogue = await RogueNatsServer.start();
});
afterAll(() => rogue[Symbol.asyncDispose]());

const creds = Buffer.from(vectors.creds);
const { publicKey } = vectors;

/** The real client library, with a user's creds, comes to the rogue server. */
const signatureOf = (nonce: Uint8Array) =>
  rogue.takeSignature(nonce, async () => {
    const authenticator = credsAuthenticator(creds);
    const client = await connect({ servers: rogue.url, authenticator, reconnect: false, timeout: 5_000 });
    await client.close();
  });

/** The proof that the rogue server is after: of a change, well formed, for a server of its choice. */
function forged(id: string): { readonly payload: string; readonly signed: Uint8Array } {
  const request = { method: 'POST', path: '/api/delete', body: Buffer.from('{"Name":"x"}') };
  const proof = createProof({ creds, audience: 'https://coffer.example.com', id, request });
  return { payload: proof.split('.')[1] ?? '', signed: parseProof(proof).signed };
}

const isTaken = (payload: string, signature: Uint8Array): boolean => {
  try {
    verifyProofSignature(
      parseProof(`cfp1.${payload}.${Buffer.from(signature).toString('base64url')}`),
      publicKey,
    );
    return true;
  } catch {
    return false;
  }
};

describe('@nats-io/transport-node', () => {
  it('signs what a server wants, with the key that signs proofs', async () => {
    const text = 'coffer-proof-v1 ÿ 🂡';
    const taken = await signatureOf(Buffer.from(text));
    expect(verify(publicKey, Buffer.from(text), taken?.signature ?? new Uint8Array())).toBe(true);
  });

  const target = forged('encodings');
  it.each(Object.entries(encodingsOf(target.signed)))(
    'signs no proof as a nonce: %s',
    async (_name, nonce) => {
      const taken = await signatureOf(nonce);
      // It hangs up on what is no JSON, and signs all else.
      const isJson = isReadable(nonce);
      expect(taken !== undefined).toBe(isJson);
      if (taken === undefined) return;
      expect(verify(publicKey, Buffer.from(read(nonce)), taken.signature)).toBe(true);
      expect(isTaken(target.payload, taken.signature)).toBe(false);
    },
  );

  it('signs no proof as a nonce, whichever proof it is and whatever the bytes are mixed with', async () => {
    const chosen = fc.tuple(fc.uuid(), fc.nat(), fc.string({ unit: 'binary', maxLength: 3 }));
    await fc.assert(
      fc.asyncProperty(chosen, async ([id, which, more]) => {
        const { payload, signed } = forged(id);
        const encodings = Object.values(encodingsOf(signed));
        const nonce = encodings[which % encodings.length] as Uint8Array;
        for (const each of [nonce, Buffer.concat([nonce, Buffer.from(JSON.stringify(more).slice(1, -1))])]) {
          const taken = await signatureOf(each);
          expect(taken !== undefined && isTaken(payload, taken.signature)).toBe(false);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('would sign one if nonces were bytes: the test takes a signature for what it is', () => {
    const proof = createProof({ creds, audience: 'https://coffer.example.com' });
    const [, payload = '', signature = ''] = proof.split('.');
    expect(isTaken(payload, Buffer.from(signature, 'base64url'))).toBe(true);
  });
});

/** A nonce as the client has it: the bytes decoded as UTF-8, then as JSON. */
const read = (nonce: Uint8Array): string => JSON.parse(`"${new TextDecoder().decode(nonce)}"`);

function isReadable(nonce: Uint8Array): boolean {
  try {
    read(nonce);
    return true;
  } catch {
    return false;
  }
}
