import { once } from 'node:events';
import { Agent, createServer, get } from 'node:http';
import { createKeyPair, decodeWascap, encodeWascap } from '@coffer/identity';
import { jwksOf, openVault } from '@coffer/wasmcloud/vault';
import { VaultServer } from '../test/support/vault.mjs';
import { CountingProxy } from './counting-proxy.mjs';
import { keeping } from './keeping.mjs';
import { row } from './table.mjs';

const CALLERS = 32;
/** Of secrets that are asked for in turn. */
const KEYS = 16;
/** From nothing, so that the log-in counts, too. */
const COUNTED_GETS = 2_000;
/** wasmCloud's own secrets-vault logs in for each get. */
const EXISTING_REQUESTS = 2;

/**
 * The Vault backend, asked by 32 callers for one component, beside a program that has a token of Vault's already and reads the
 * same secrets: both in this process, by turns, of one Vault in development mode (in memory) on this machine.
 */
export const vault = (options) => keeping((keep) => compareWithDirect(keep, options));

async function compareWithDirect(keep, { runs, seconds, progress }) {
  const server = await keep(VaultServer.start());
  const key = createKeyPair('server');
  const jwks = createServer((_, answer) => answer.end(JSON.stringify(jwksOf([key.publicKey]))));
  jwks.listen(0, '127.0.0.1');
  await once(jwks, 'listening');
  await keep({ [Symbol.asyncDispose]: async () => jwks.close() });
  const token = await setUp(server, `http://127.0.0.1:${jwks.address().port}`);
  const signingKeys = { current: () => key, all: () => [key.publicKey] };
  const open = async (address) => {
    const source = await openVault({ address, signingKeys, role: 'bench' });
    await keep({ [Symbol.asyncDispose]: () => source.close() });
    return source;
  };

  progress(`Vault: requests of ${COUNTED_GETS} gets`);
  const proxy = await CountingProxy.start(server.url);
  const requester = requesterOf();
  const counted = await through(await open(proxy.url), requester);
  const { requests } = await proxy.during(() => load(counted, { gets: COUNTED_GETS }));
  proxy.stop();

  const sides = [
    { name: 'coffer', get: await through(await open(server.url), requester), seen: [] },
    { name: 'direct', get: directly(server.url, token), seen: [] },
  ];
  // What is compiled on the way is not what is measured.
  for (const { get } of sides) await load(get, { seconds: 1 });
  for (let i = 0; i < runs; i++) {
    for (const { name, get, seen } of sides) {
      progress(`Vault, ${CALLERS} callers: ${name}`);
      seen.push(await load(get, { seconds }));
    }
  }
  const [ours, theirs] = sides.map(({ seen }) => seen);
  const rates = (all) => all.map(({ rate }) => rate);
  const p99 = (all) => all.map((one) => one.p99);
  const reads = `Vault backend, gets, ${CALLERS} callers (peer: a direct client of Vault's, in Node)`;
  return [
    row(reads, '/s', rates(ours), rates(theirs), { ratio: 'at least', of: 0.7 }),
    row('  99th percentile', 'ms', p99(ours), p99(theirs)),
    row(
      `  requests to Vault per get, of ${COUNTED_GETS} from the first (peer: secrets-vault, which logs in for each)`,
      '',
      [requests / COUNTED_GETS],
      [EXISTING_REQUESTS],
      { value: 'at most', of: 1.05 },
    ),
  ];
}

/** @returns a client token for the direct client, of the same policy */
async function setUp(server, jwksUrl) {
  await server.call('POST', 'sys/auth/jwt', { type: 'jwt' });
  await server.call('POST', 'auth/jwt/config', { jwks_url: jwksUrl });
  const policy = 'path "secret/data/bench/*" { capabilities = ["read"] }';
  await server.call('PUT', 'sys/policies/acl/bench', { policy });
  await server.call('POST', 'auth/jwt/role/bench', {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['Vault'],
    token_policies: ['bench'],
    token_ttl: '1h',
  });
  for (let i = 0; i < KEYS; i++) await server.put(`bench/${i}`, { password: `value ${i}`, user: 'bench' });
  const { auth } = await server.call('POST', 'auth/token/create', { policies: ['bench'] });
  return auth.client_token;
}

function requesterOf() {
  const [account, component, host] = ['account', 'component', 'server'].map((kind) => createKeyPair(kind));
  const token = (about, by) =>
    decodeWascap(encodeWascap({ sub: about.publicKey, wascap: { name: 'bench' } }, by));
  const [entity, hostToken] = [token(component, account), token(host, host)];
  return {
    entity: { kind: 'component', key: component.publicKey, jti: entity.claims.jti, name: '', token: entity },
    host: { key: host.publicKey, name: '', token: hostToken },
    application: { policy: '' },
  };
}

const through = (source, requester) => async (n) => {
  const { value } = await source.fetch({ key: `bench/${n % KEYS}`, field: 'password' }, requester);
  check(n, Buffer.from(value).toString());
  value.fill(0);
};

function directly(url, token) {
  const agent = new Agent({ keepAlive: true, maxSockets: CALLERS });
  const headers = { 'X-Vault-Token': token };
  return (n) =>
    new Promise((resolve, reject) => {
      const request = get(`${url}/v1/secret/data/bench/${n % KEYS}`, { agent, headers }, (answer) => {
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          check(n, JSON.parse(Buffer.concat(chunks).toString()).data.data.password);
          resolve();
        });
      });
      request.on('error', reject);
    });
}

function check(n, value) {
  if (value !== `value ${n % KEYS}`) throw new Error('another value was read than was written');
}

/** 32 callers, each of which asks again when it is answered: so many gets, or for so long. */
async function load(get, { gets = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY }) {
  const times = [];
  const start = performance.now();
  const end = start + seconds * 1000;
  let next = 0;
  const caller = async () => {
    while (next < gets && performance.now() < end) {
      const asked = performance.now();
      await get(next++);
      times.push(performance.now() - asked);
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  const rate = (times.length / (performance.now() - start)) * 1000;
  return { rate, p99: times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] };
}
