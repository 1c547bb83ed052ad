import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import { createKeyPair, decodeWascap, encodeWascap, type KeyPair } from '@coffer/identity';
import type { Requester } from '@coffer/wasmcloud';
import { jwksOf, openVault, type VaultOptions } from '@coffer/wasmcloud/vault';
import type { VaultServer } from '../support/vault.mjs';

const POLICY = 'properties.secret.wasmcloud.dev/v1alpha1';

/** As a manifest's policy reaches the backend. */
export const policyOf = (properties: object): string => JSON.stringify({ type: POLICY, properties });

/** The keys of log-in tokens, and the address from which Vault has them. */
export class SigningKeysServer {
  keys = [createKeyPair('server')];
  /** How often they were asked for. */
  asked = 0;
  readonly #server: Server;

  static async start(): Promise<SigningKeysServer> {
    const started = new SigningKeysServer();
    started.#server.listen(0, '127.0.0.1');
    await once(started.#server, 'listening');
    return started;
  }

  constructor() {
    this.#server = createServer((_, response) => {
      this.asked++;
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(jwksOf(this.all())));
    });
  }

  get url(): string {
    return `${urlOf(this.#server)}/.well-known/keys`;
  }

  current(): KeyPair {
    return this.keys[0] as KeyPair;
  }

  all(): readonly string[] {
    return this.keys.map(({ publicKey }) => publicKey);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closed(this.#server);
  }
}

/** Stands between a source and Vault, and can do what networks and Vaults under load do. */
export class Between {
  /** What has come, whoever answered it. */
  readonly seen: { readonly method: string; readonly path: string; readonly namespace: unknown }[] = [];
  /** Is asked before Vault is: true, and it is not. */
  instead: (
    incoming: IncomingMessage,
    answer: (status: number, body?: object | Buffer, headers?: object) => void,
  ) => boolean = () => false;
  /** Is waited for before Vault is asked. */
  before: (incoming: IncomingMessage) => Promise<void> = async () => {};
  readonly #server: Server;

  static async start(target: string): Promise<Between> {
    const started = new Between(target);
    started.#server.listen(0, '127.0.0.1');
    await once(started.#server, 'listening');
    return started;
  }

  constructor(target: string) {
    this.#server = createServer((incoming, outgoing) => {
      const { method = '', headers, url = '' } = incoming;
      this.seen.push({ method, path: url.replace('/v1/', ''), namespace: headers['x-vault-namespace'] });
      const answered = this.instead(incoming, (status, body = {}, more = {}) => {
        outgoing.writeHead(status, { ...more });
        outgoing.end(Buffer.isBuffer(body) ? body : JSON.stringify(body));
      });
      if (answered) return;
      this.before(incoming).then(
        () => {
          const passed = request(`${target}${url}`, { method, headers }, (answer) => {
            outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
            pipeline(answer, outgoing, () => {});
          });
          passed.on('error', () => outgoing.destroy());
          pipeline(incoming, passed, () => {});
        },
        () => outgoing.destroy(),
      );
    });
  }

  get url(): string {
    return urlOf(this.#server);
  }

  /** What of it begins so. */
  count(beginning: string): number {
    return this.seen.filter(({ path }) => path.startsWith(beginning)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closed(this.#server);
  }
}

const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

async function closed(server: Server): Promise<void> {
  const ended = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await ended;
}

/** Who asks: a component, or a provider, on a host that is believed about applications, or is not. */
export class Askers {
  readonly account = createKeyPair('account');
  readonly component = createKeyPair('component');
  readonly provider = createKeyPair('provider');
  readonly host = createKeyPair('server');
  readonly entityJwt = this.#token(this.component, this.account);
  readonly providerJwt = this.#token(this.provider, this.account);
  readonly hostJwt = this.#token(this.host, this.host);
  /** As a stock host's: a key made at its start has signed it. */
  readonly strangerJwt = this.newHostJwt();

  newHostJwt(): string {
    return this.#token(createKeyPair('server'), createKeyPair('account'));
  }

  requester({
    application = 'shop',
    properties = { role_name: 'shop' } as object,
    entityJwt = this.entityJwt,
    hostJwt = this.hostJwt,
  } = {}): Requester {
    const [entity, host] = [decodeWascap(entityJwt), decodeWascap(hostJwt)];
    const { sub: key, jti } = entity.claims;
    return {
      entity: { kind: entity.kind as 'component', key, jti, name: '', token: entity },
      // Its chain is no matter of a source's.
      host: { key: host.claims.sub, name: '', token: host } as Requester['host'],
      application: { name: application, policy: policyOf(properties) },
    };
  }

  /** A second token of the same component. */
  again(): string {
    return this.#token(this.component, this.account);
  }

  /** Of the same component, signed by an account that is not its own. */
  forged(): string {
    return this.#token(this.component, createKeyPair('account'));
  }

  #token(about: KeyPair, by: KeyPair): string {
    return encodeWascap({ sub: about.publicKey, wascap: { name: 'of a test' } }, by);
  }
}

/** The set-up of a Vault as people know it: a policy, and a role for an application that has it. */
export async function setUp(vault: VaultServer, jwksUrl: string, { mount = 'jwt' } = {}): Promise<void> {
  await vault.call('POST', `sys/auth/${mount}`, { type: 'jwt' });
  await vault.call('POST', `auth/${mount}/config`, { jwks_url: jwksUrl });
  const paths = ['secret/data/shop/*', 'kv1/shop/*', 'kv2/data/shop/*', 'transit/*', 'folder/data/*'];
  const policy = paths.map((path) => `path "${path}" { capabilities = ["read"] }`).join('\n');
  await vault.call('PUT', 'sys/policies/acl/shop', { policy });
  await role(vault, 'shop', {}, { mount });
}

export async function role(vault: VaultServer, name: string, more: object = {}, { mount = 'jwt' } = {}) {
  await vault.call('POST', `auth/${mount}/role/${name}`, {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: ['Vault'],
    bound_claims: { application: 'shop' },
    token_policies: ['shop'],
    token_ttl: '1h',
    ...more,
  });
}

const ANY = ['*'];
const EVERYTHING = { namespaces: ANY, authMounts: ANY, enginePaths: ANY, roles: ANY };

/** A source with a host that is believed about applications. */
export const sourceOf = (askers: Askers, signingKeys: SigningKeysServer, options: Partial<VaultOptions>) =>
  openVault({
    address: '',
    signingKeys,
    allow: EVERYTHING,
    applicationHosts: { keys: [askers.host.publicKey] },
    ...options,
  });
