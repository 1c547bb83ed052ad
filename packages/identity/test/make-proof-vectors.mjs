/**
 * Makes test/vectors/proof.json of this package and of the client's, which makes proofs by code of its own. Ed25519
 * signatures have no randomness, so that both must come out byte for byte; a test holds the two files equal.
 *
 * Usage, after a build: node packages/identity/test/make-proof-vectors.mjs
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createProof, parseCreds, publicKeyOf } from '../dist/index.js';
import { signedBytes } from '../dist/proof/format.js';

// A throw-away user that nsc made.
const file = new URL('./vectors/nsc/nkeys/creds/demoO/demoA/demoU.creds', import.meta.url);
const creds = readFileSync(file);
const publicKey = publicKeyOf(parseCreds(creds).seed);

const now = 1_795_400_000;

const requests = [
  { what: 'to read', audience: 'https://coffer.example.com', id: 'read-1', expiresIn: 60 },
  { what: 'by way of a base path', audience: 'https://example.com/coffer', id: '!"#~', expiresIn: 45 },
  {
    what: 'to put',
    audience: 'http://127.0.0.1:2633',
    id: 'rotate-42',
    expiresIn: 60,
    request: { method: 'POST', path: '/api/put', body: '{"Name":"x","Value":"aGVsbG8="}' },
  },
  {
    what: 'without a body',
    audience: 'http://[::1]:2633',
    id: 'x'.repeat(128),
    expiresIn: 1,
    request: { method: 'GET', path: '/api/whoami', body: '' },
  },
];

const proofs = requests.map(({ what, audience, id, expiresIn, request }) => {
  const bound = request && { ...request, body: Buffer.from(request.body) };
  const options = { creds, audience, id, expiresIn, now: new Date(now * 1000) };
  const proof = createProof({ ...options, ...(bound && { request: bound }) });
  const payload = proof.split('.')[1];
  return {
    what,
    audience,
    id,
    expiresIn,
    ...(request && { request }),
    payload: Buffer.from(payload, 'base64url').toString(),
    signed: signedBytes(payload).toString('hex'),
    proof,
  };
});

const audiences = [
  ['https://coffer.example.com', 'https://coffer.example.com'],
  ['HTTPS://Coffer.Example.COM:443/', 'https://coffer.example.com'],
  ['http://localhost:80/a/b//', 'http://localhost/a/b'],
  ['http://[0:0::1]:2633', 'http://[::1]:2633'],
  ['https://bücher.example/ä', 'https://xn--bcher-kva.example/%C3%A4'],
  ...[
    'coffer',
    '',
    'unix:/run/coffer.sock',
    'ftp://coffer.example.com',
    'https://u:p@coffer.example.com',
    'https://coffer.example.com?x',
    'https://coffer.example.com#x',
    `https://coffer.example.com/${'x'.repeat(500)}`,
  ].map((url) => [url, null]),
].map(([url, audience]) => ({ url, audience }));

const text = `${JSON.stringify({ creds: creds.toString(), publicKey, now, proofs, audiences }, null, 2)}\n`;
for (const name of ['identity', 'client']) {
  const folder = new URL(`../../${name}/test/vectors/`, import.meta.url);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL('proof.json', folder), text);
}
