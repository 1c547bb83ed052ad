import type { Requester, Secret, SecretQuery } from '../backend/options.js';
import type { SecretSource } from '../backend/source.js';
import { orAborted } from '../host/ask.js';
import { SecretsError } from '../protocol/errors.js';
import { Allowed } from './allow.js';
import { VaultApi } from './api.js';
import { Farewells } from './farewells.js';
import { Forbidden } from './forbidden.js';
import { Forgetting } from './forget.js';
import { type Patience, VaultHttp } from './http.js';
import { VaultKv } from './kv.js';
import { endToken, logIn } from './login.js';
import { type Login, LoginCache } from './login-cache.js';
import { isListed, loginToken } from './login-token.js';
import { KvMounts } from './mounts.js';
import type { VaultOptions } from './options.js';
import { Places } from './places.js';
import {
  authPathOf,
  type Defaults,
  enginePathOf,
  type LoginPlace,
  placeOf,
  referenceOf,
  type VaultReference,
} from './reference.js';
import { readDefaults, readSettings, type Settings } from './settings.js';
import { TokenDigests } from './token-digests.js';
import { whyUnready } from './unready.js';

const SWEEP_MS = 60_000;

/**
 * Secrets in HashiCorp Vault or OpenBao, in engines of KV version 1 and 2. An entity is let in by Vault itself: coffer logs in
 * as it, with a token that says who asks (JWT auth method), and reads with what Vault's role allows it. What Vault says of that
 * is kept until shortly before its lease ends.
 *
 * Opens no connection yet.
 *
 * @throws TypeError for an option that can be none, or a file of authorities that cannot be read
 */
export async function openVault(options: VaultOptions): Promise<SecretSource> {
  const settings = readSettings(options);
  const http = await VaultHttp.at(options.address, options);
  return new VaultSource(options, settings, readDefaults(options), new VaultApi(http, settings.retries));
}

class VaultSource implements SecretSource {
  readonly #options: VaultOptions;
  readonly #settings: Settings;
  readonly #defaults: Defaults;
  readonly #allowed: Allowed;
  readonly #api: VaultApi;
  readonly #kv: VaultKv;
  readonly #logins: LoginCache;
  readonly #farewells: Farewells;
  readonly #places: Places;
  readonly #forgetting: Forgetting;
  readonly #digests = new TokenDigests();
  readonly #sweeping: NodeJS.Timeout;
  readonly #unfollow: (() => void) | undefined;
  #closed = false;

  constructor(options: VaultOptions, settings: Settings, defaults: Defaults, api: VaultApi) {
    const { audience, timeoutMs } = settings;
    this.#options = options;
    this.#settings = settings;
    this.#defaults = defaults;
    this.#allowed = new Allowed(options.allow ?? {}, defaults);
    this.#api = api;
    this.#kv = new VaultKv(
      api,
      new KvMounts(api, { timeoutMs, standing: standingEngine(options, defaults) }),
    );
    const onNotice = options.onNotice ?? (() => {});
    this.#farewells = new Farewells((...which) => endToken(api, ...which), { graceMs: timeoutMs, onNotice });
    this.#logins = new LoginCache((client) => this.#farewells.later(client));
    this.#sweeping = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    this.#places = new Places(standingPlace(defaults));
    this.#forgetting = new Forgetting(api, { audience, timeoutMs, onNotice }, this.#places);
    this.#unfollow = options.signingKeys.onLost?.(() => this.#forgetting.begin());
  }

  async fetch(query: SecretQuery, requester: Requester, signal?: AbortSignal): Promise<Secret> {
    const reference = referenceOf(query, requester.application.policy, this.#defaults, this.#allowed);
    const patience = { ...this.#patience(), signal };
    for (let again = false; ; again = true) {
      const tried: Login[] = [];
      const client = async () => {
        const login = await orAborted(this.#logIn(reference, requester), signal);
        tried.push(login);
        return login.client;
      };
      try {
        return await this.#kv.read(reference, { owner: ownerOf(requester), client }, patience);
      } catch (error) {
        const login = tried.at(-1);
        if (!(error instanceof Forbidden) || login === undefined) throw error;
        const refused = new SecretsError('Unauthorized', '', { cause: error });
        if (again) this.#logins.rest(login);
        if (again || tried.some(({ fresh }) => fresh)) throw refused;
        // Its token may have been revoked, or be of a time when its role allowed less.
        this.#logins.drop(login);
      }
    }
  }

  describe(_: SecretQuery, { application }: Requester): Readonly<Record<string, string>> {
    const { namespace, engine, authMount, role } = placeOf(application.policy, this.#defaults);
    return {
      ...(namespace !== undefined && { namespace }),
      engine,
      authMount,
      ...(role !== undefined && { role }),
    };
  }

  async unready(signal: AbortSignal): Promise<string | undefined> {
    return await whyUnready(this.#api, { ...this.#patience(), signal });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweeping);
    this.#unfollow?.();
    this.#forgetting.close();
    await this.#farewells.now(await this.#logins.close());
    this.#api.close();
  }

  async #logIn(reference: VaultReference, requester: Requester): Promise<Login> {
    const hostTrusted = isListed(requester, this.#options.applicationHosts ?? {});
    const application = hostTrusted ? (requester.application.name ?? '') : '';
    const { namespace, authPath, role } = reference;
    const { entity, host } = requester;
    const said = [
      namespace,
      authPath,
      role,
      application,
      this.#digests.of(entity.token),
      this.#digests.of(host.token),
    ];
    const { jti, iss: issuer } = entity.token.claims;
    const key = {
      owner: ownerOf(requester),
      token: { jti, key: entity.key, issuer },
      text: JSON.stringify(said),
    };
    return await this.#logins.get(key, async () => {
      const { audience } = this.#settings;
      const { name: backend = '' } = this.#options;
      const claims = { backend, audience, application, hostTrusted, requester };
      const jwt = loginToken(claims, this.#options.signingKeys.current(), new Date());
      // Others may wait for it longer than who was first.
      const client = await logIn(this.#api, reference, jwt, this.#patience());
      this.#places.add(key.owner, { namespace, authPath, role });
      return client;
    });
  }

  #sweep(): void {
    this.#logins.sweep(this.#options.revoked);
    this.#farewells.again();
  }

  #patience(): Patience {
    return { until: performance.now() + this.#settings.timeoutMs };
  }
}

/** Where no account vouches for its key, anybody signs a token for it: then it is another one for each who does. */
const ownerOf = ({ entity: { account, key, token } }: Requester): string =>
  `${account ?? token.claims.iss}/${key}`;

/** The engine of the options, and its version where they tell it. */
function standingEngine({ kvVersion: version }: VaultOptions, { namespace, enginePath: engine }: Defaults) {
  return { namespace, engine, enginePath: enginePathOf(engine), version };
}

/** Where one may log in whatever policies say, as far as that is known. */
const standingPlace = ({ namespace, authMount, role }: Defaults): readonly LoginPlace[] =>
  role === undefined ? [] : [{ namespace, authPath: authPathOf(authMount), role }];
