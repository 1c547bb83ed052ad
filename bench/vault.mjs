import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Agent, createServer, get } from 'node:http';
import { createKeyPair, decodeWascap, encodeWascap } from '@coffer/identity';
import { jwksOf, openVault } from '@coffer/wasmcloud/vault';
import { NatsServer } from '../test/support/nats.mjs';
import { TemporaryFolder } from '../test/support/processes.mjs';
import { CofferServer } from '../test/support/servers.mjs';
import { VaultServer } from '../test/support/vault.mjs';
import { WasmcloudClient } from '../test/support/wasmcloud.mjs';
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
 * The Vault backend beside a program that has a token of Vault's already and reads the same secrets, by turns, of one Vault in
 * development mode (in memory) on this machine: the source alone, in this process as that program is; and a whole server, which
 * wasmCloud's own client library asks over NATS, with a key made for each request, and which writes its audit log.
 */
export const vault = (options) => keeping((keep) => compareWithDirect(keep, options));

async function compareWithDirect(keep, { runs, seconds, progress }) {
  const server = await keep(VaultServer.start());
  const token = await setUp(server);
  const people = peopleOf();
  const source = await sourceOn(keep, server, people);
  const direct = directly(server.url, token);
  const host = await hostOn(keep, server, people);
  const sides = [
    { name: 'the source', measure: (time) => load(source, time), seen: [] },
    { name: 'a server', measure: host, seen: [] },
    { name: 'direct', measure: (time) => load(direct, time), seen: [] },
  ];
  // What is compiled on the way is not what is measured.
  for (const { measure } of sides) await measure({ seconds: 1 });
  for (let i = 0; i < runs; i++) {
    for (const { name, measure, seen } of sides) {
      progress(`Vault, ${CALLERS} callers: ${name}`);
      seen.push(await measure({ seconds }));
    }
  }
  const [alone, whole, theirs] = sides.map(({ seen }) => seen);
  const rates = (all) => all.map(({ rate }) => rate);
  const p99 = (all) => all.map((one) => one.p99);
  const target = { ratio: 'at least', of: 0.7 };
  return [
    row(
      `Vault backend, ${CALLERS} callers: its source (peer: a direct client of Vault's, in Node)`,
      '/s',
      rates(alone),
      rates(theirs),
      target,
    ),
    row('  99th percentile', 'ms', p99(alone), p99(theirs)),
    row(
      `Vault backend, ${CALLERS} in flight over NATS, audited (peer: the same, without all that)`,
      '/s',
      rates(whole),
      rates(theirs),
    ),
    row('  99th percentile', 'ms', p99(whole), p99(theirs)),
    await requestsPerGet(keep, server, people, progress),
  ];
}

async function requestsPerGet(keep, server, people, progress) {
  progress(`Vault: requests of ${COUNTED_GETS} gets`);
  const proxy = await CountingProxy.start(server.url);
  const source = await sourceOn(keep, { url: proxy.url, call: (...args) => server.call(...args) }, people);
  const { requests } = await proxy.during(() => load(source, { gets: COUNTED_GETS }));
  proxy.stop();
  return row(
    `  requests to Vault per get, of ${COUNTED_GETS} from the first (peer: secrets-vault, which logs in for each)`,
    '',
    [requests / COUNTED_GETS],
    [EXISTING_REQUESTS],
    { value: 'at most', of: 1.05 },
  );
}

/** A source of its own, in this process. */
async function sourceOn(keep, server, { requester }) {
  const key = createKeyPair('server');
  const jwks = createServer((_, answer) => answer.end(JSON.stringify(jwksOf([key.publicKey]))));
  jwks.listen(0, '127.0.0.1');
  await once(jwks, 'listening');
  await keep({ [Symbol.asyncDispose]: async () => jwks.close() });
  const authMount = await letIn(server, `http://127.0.0.1:${jwks.address().port}`);
  const signingKeys = { current: () => key, all: () => [key.publicKey] };
  const source = await openVault({ address: server.url, signingKeys, role: 'bench', authMount });
  await keep({ [Symbol.asyncDispose]: () => source.close() });
  return async (n) => {
    const { value } = await source.fetch({ key: `bench/${n % KEYS}`, field: 'password' }, requester);
    check(n, Buffer.from(value).toString());
    value.fill(0);
  };
}

/** A server, and a host that asks it. */
async function hostOn(keep, vaultServer, { account, component, tokens }) {
  const nats = await keep(NatsServer.start());
  const folder = new TemporaryFolder();
  await keep({ [Symbol.asyncDispose]: async () => folder[Symbol.dispose]() });
  const settings = { address: vaultServer.url, role: 'bench', authMount: 'of-server' };
  const config = {
    nats: { servers: [nats.url], allowOpen: true },
    trust: { accounts: [account.publicKey] },
    backends: [{ name: 'vault', kind: 'vault', settings }],
  };
  writeFileSync(folder.join('coffer.yaml'), JSON.stringify(config));
  const server = await keep(CofferServer.start({ args: ['--config', folder.join('coffer.yaml')] }));
  const to = [`component:${account.publicKey}/${component.publicKey}`];
  await server.applyPolicy([{ to, actions: ['get'], secrets: ['vault/bench/*'] }]);
  await letIn(vaultServer, `${server.url}/.well-known/keys`, 'of-server');
  const client = await keep(new WasmcloudClient(nats.url));
  const asked = { backend: 'vault', key: 'bench/', keys: KEYS, field: 'password', ...tokens };
  return async ({ seconds }) => {
    const report = await client.bench({ ...asked, in_flight: CALLERS, seconds });
    if (Object.keys(report.others).length > 0) throw new Error(`over NATS: ${report.first_error}`);
    return { rate: report.rate, p99: report.p99_ms };
  };
}

/** @returns a client token for the direct client, of the same policy */
async function setUp(server) {
  const policy = 'path "secret/data/bench/*" { capabilities = ["read"] }';
  await server.call('PUT', 'sys/policies/acl/bench', { policy });
  for (let i = 0; i < KEYS; i++) await server.put(`bench/${i}`, { password: `value ${i}`, user: 'bench' });
  const { auth } = await server.call('POST', 'auth/token/create', { policies: ['bench'] });
  return auth.client_token;
}

let mounts = 0;

async function letIn(server, jwksUrl, mount = `of-source-${++mounts}`) {
  await server.call('POST', `sys/auth/${mount}`, { type: 'jwt' });
  await server.call('POST', `auth/${mount}/config`, { jwks_url: jwksUrl });
  await server.call('POST', `auth/${mount}/role/bench`, {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['Vault'],
    token_policies: ['bench'],
    token_ttl: '1h',
  });
  return mount;
}

function peopleOf() {
  const [account, component, host] = ['account', 'component', 'server'].map((kind) => createKeyPair(kind));
  const token = (about, by) => encodeWascap({ sub: about.publicKey, wascap: { name: 'bench' } }, by);
  const tokens = { entity_jwt: token(component, account), host_jwt: token(host, host) };
  const [entity, hostToken] = [decodeWascap(tokens.entity_jwt), decodeWascap(tokens.host_jwt)];
  const requester = {
    entity: { kind: 'component', key: component.publicKey, jti: entity.claims.jti, name: '', token: entity },
    host: { key: host.publicKey, name: '', token: hostToken },
    application: { policy: '' },
  };
  return { account, component, tokens, requester };
}

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
