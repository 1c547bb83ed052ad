import type { Requester, Secret, SecretQuery } from '../backend/options.js';
import type { SecretSource } from '../backend/source.js';
import { orAborted } from '../host/ask.js';
import { SecretsError } from '../protocol/errors.js';
import { VaultApi } from './api.js';
import { Farewells } from './farewells.js';
import { Forbidden } from './forbidden.js';
import { type Patience, VaultHttp } from './http.js';
import { VaultKv } from './kv.js';
import { type ClientToken, endToken, logIn } from './login.js';
import { type Login, LoginCache } from './login-cache.js';
import { applicationClaim, loginToken } from './login-token.js';
import { KvMounts } from './mounts.js';
import type { VaultOptions } from './options.js';
import { type Defaults, referenceOf, type VaultReference } from './reference.js';
import { readDefaults, readSettings, type Settings } from './settings.js';
import { TokenDigests } from './token-digests.js';
import { whyUnready } from './unready.js';

/** So long a token may take to be ended. */
const FAREWELL_MS = 2_000;

/**
 * Secrets in HashiCorp Vault or OpenBao, in engines of KV version 1 and 2. An entity is let in by Vault itself: coffer logs in
 * as it, with a token that says who asks (JWT auth method), and reads with what Vault's role allows it. What Vault says of that
 * is kept until shortly before its lease ends.
 *
 * Opens no connection yet.
 *
 * @throws TypeError for an option that can be none; as `readFile`, where the file of authorities cannot be read
 */
export async function openVault(options: VaultOptions): Promise<SecretSource> {
  const settings = readSettings(options);
  const http = await VaultHttp.at(options.address, options.ca);
  return new VaultSource(options, settings, readDefaults(options), new VaultApi(http, settings.retries));
}

class VaultSource implements SecretSource {
  readonly #options: VaultOptions;
  readonly #settings: Settings;
  readonly #defaults: Defaults;
  readonly #api: VaultApi;
  readonly #kv: VaultKv;
  readonly #logins: LoginCache;
  readonly #farewells: Farewells;
  readonly #digests = new TokenDigests();
  #closed = false;

  constructor(options: VaultOptions, settings: Settings, defaults: Defaults, api: VaultApi) {
    this.#options = options;
    this.#settings = settings;
    this.#defaults = defaults;
    this.#api = api;
    this.#kv = new VaultKv(api, new KvMounts(api, options.kvVersion, settings.timeoutMs));
    const end = (client: ClientToken) => endToken(api, client, { until: performance.now() + FAREWELL_MS });
    this.#farewells = new Farewells(end, settings.timeoutMs);
    this.#logins = new LoginCache((client) => this.#farewells.later(client));
  }

  async fetch(query: SecretQuery, requester: Requester, signal?: AbortSignal): Promise<Secret> {
    const reference = referenceOf(query, requester.application.policy, this.#defaults);
    const patience = { ...this.#patience(), signal };
    for (let again = false; ; again = true) {
      const login = await orAborted(this.#logIn(reference, requester), signal);
      try {
        return await this.#kv.read(reference, login.client, patience);
      } catch (error) {
        if (!(error instanceof Forbidden)) throw error;
        // Its token may have been revoked, or be of a time when its role allowed less.
        if (!login.fresh) this.#logins.drop(login);
        if (login.fresh || again) throw new SecretsError('Unauthorized', '', { cause: error });
      }
    }
  }

  async unready(signal: AbortSignal): Promise<string | undefined> {
    return await whyUnready(this.#api, { ...this.#patience(), signal });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#farewells.now(this.#logins.clear());
    this.#api.close();
  }

  async #logIn(reference: VaultReference, requester: Requester): Promise<Login> {
    const application = applicationClaim(requester, this.#options.applicationHosts ?? {});
    const { namespace, authMount, role } = reference;
    const { entity, host } = requester;
    const said = [
      namespace,
      authMount,
      role,
      application,
      this.#digests.of(entity.token),
      this.#digests.of(host.token),
    ];
    return await this.#logins.get(JSON.stringify(said), () => {
      const claims = { audience: this.#settings.audience, application, requester };
      const jwt = loginToken(claims, this.#options.signingKeys.current(), new Date());
      // Others may wait for it longer than who was first.
      return logIn(this.#api, reference, jwt, this.#patience());
    });
  }

  #patience(): Patience {
    return { until: performance.now() + this.#settings.timeoutMs };
  }
}
