import { CofferError, type Engine } from '@coffer/engine';
import { type Answered, type Entity, type ServedBackend, serveBackend } from '@coffer/wasmcloud';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { ServerConfig } from '../config/config.js';
import type { NatsConfig, WasmcloudConfig } from '../config/nats.js';
import { DEFAULT_CLOCK_SKEW_SECONDS } from '../config/trust.js';
import { framesOf } from '../http/refuse.js';
import type { RateLimits } from '../limit/rate-limits.js';
import { ownAccount } from '../nats/credentials.js';
import type { NatsDoor } from '../nats/door.js';
import { whyNotSubscribed } from '../nats/permission.js';
import { Seldom } from '../nats/seldom.js';
import { shownName } from '../trust/shown-name.js';
import type { Trust } from '../trust/trust.js';
import { Askers } from './askers.js';
import { WasmcloudMetrics } from './metrics.js';
import { ownOperations } from './operations.js';
import { ownBackend } from './own-backend.js';
import { mappingPrincipal } from './principals.js';
import { Refusals } from './refusals.js';
import { Requesters } from './requesters.js';
import { TransitRing } from './transit-ring.js';
import type { TransitUse } from './transit-use.js';

/** How often an instance of a shared store looks whether it may answer. */
const LOOK_MS = 100;

export interface WasmcloudParts {
  readonly config: ServerConfig & { readonly nats: NatsConfig };
  readonly engine: Engine;
  readonly door: NatsDoor;
  readonly trust: Trust | undefined;
  readonly rates: Pick<RateLimits, 'admitPrincipal'>;
  readonly log: Logger;
  readonly transitUse: TransitUse;
  /** An xkey's seed, which becomes the current transit key unless the ring has had it. */
  readonly transitSeed?: Uint8Array | undefined;
  readonly onNotice: (sentence: string) => void;
}

/**
 * coffer's own store, served to wasmCloud's hosts behind the NATS door.
 *
 * Life: `open`, then `close`, after the door's.
 */
export class WasmcloudBackend {
  readonly metrics = new WasmcloudMetrics();
  readonly #parts: WasmcloudParts;
  readonly #ring: TransitRing;
  readonly #seldom = new Seldom();
  readonly #refusals: Refusals;
  readonly #looking: NodeJS.Timeout | undefined;
  #settings: WasmcloudConfig;

  /** @throws CofferError as `TransitRing.open` */
  static async open(parts: WasmcloudParts): Promise<WasmcloudBackend> {
    const { config, engine, transitUse: use, transitSeed: seed, onNotice, door } = parts;
    const ring = await TransitRing.open({ engine, backend: config.wasmcloud.name, use, seed, onNotice });
    const backend = new WasmcloudBackend(parts, ring);
    backend.#holdIfStale();
    await door.serve((connection) => backend.#serve(connection));
    return backend;
  }

  private constructor(parts: WasmcloudParts, ring: TransitRing) {
    this.#parts = parts;
    this.#ring = ring;
    this.#refusals = new Refusals(parts.log);
    this.#settings = parts.config.wasmcloud;
    if (parts.engine.sharedHealth) this.#looking = setInterval(() => this.#holdIfStale(), LOOK_MS).unref();
    if (this.#settings.trust === 'self-issued') {
      parts.log.warn(
        'wasmcloud.trust is self-issued: any component is believed on its own word, whoever signed its token. For a migration only',
      );
    }
  }

  /** Public keys of the ring, the newest first. */
  get transitKeys(): readonly string[] {
    return this.#ring.keys().map(({ publicKey }) => publicKey);
  }

  /** Takes over what may change while it runs. */
  configure({ mappingAccount, allowUnauthenticatedAdmin, unsignedAdmin }: WasmcloudConfig): void {
    this.#settings = { ...this.#settings, mappingAccount, allowUnauthenticatedAdmin, unsignedAdmin };
  }

  close(): void {
    clearInterval(this.#looking);
    this.#ring.close();
  }

  /** An instance that may answer nothing leaves the requests to those that may. */
  #holdIfStale(): void {
    const { door, engine } = this.#parts;
    door.hold(engine.stale && 'what is here is older than may be answered');
  }

  #serve(nats: NatsConnection): ServedBackend {
    const { engine, trust, door, config, rates } = this.#parts;
    const { name, prefix, queueGroup, maxInFlight, trust: believed } = this.#settings;
    const verifier = trust?.verifier;
    const selfIssued = believed === 'self-issued';
    const admission = () => door.admission();
    return serveBackend({
      name,
      prefix,
      queueGroup,
      maxInFlight,
      nats,
      transitKeys: this.#ring,
      trust: {
        verifier,
        selfIssued,
        revoked: ({ jti, key, issuer }) =>
          engine.tokenRevoked(jti) || engine.keyRevoked(key) || engine.keyRevoked(issuer),
        clockSkewSeconds: config.trust?.clockSkewSeconds ?? DEFAULT_CLOCK_SKEW_SECONDS,
      },
      fetch: ownBackend({
        engine,
        verifier,
        selfIssued,
        admission,
        admit: (caller) => rates.admitPrincipal(caller),
      }),
      operations: ownOperations({
        engine,
        askers: this.#askers(),
        principalOf: (entity) => mappingPrincipal(entity, { trust: config.trust, wasmcloud: this.#settings }),
        admission,
      }),
      onAnswered: (answered) => this.#answered(answered),
      onSelfIssued: (entity) => this.#selfIssued(entity),
      onError: (error) => this.#failed(error),
    });
  }

  #askers(): Askers {
    const { engine, trust, door, config, rates, log } = this.#parts;
    const own = accountOf(config.nats);
    return new Askers({
      engine,
      proofs: trust?.proofsOverNats(() => this.transitKeys.map((key) => `xkey:${key}`)),
      nats: () => ({ serverVersion: door.serverVersion, ownAccount: own }),
      requesters: trust && new Requesters({ verifier: trust.verifier, log }),
      refusesUnsigned: () => whyNotUnsigned(this.#settings, door.closed),
      admit: (caller) => rates.admitPrincipal(caller),
    });
  }

  #answered(answered: Answered): void {
    const { engine, log } = this.#parts;
    this.metrics.answered(answered);
    this.#refusals.answered(answered);
    if (answered.stranger) engine.refusedStranger('nats');
    log.debug({ ...answered }, 'request over NATS');
  }

  #selfIssued({ kind, key, name, token }: Entity): void {
    this.metrics.selfIssued++;
    const issuer = token.claims.iss;
    this.#parts.log.warn(
      { kind, key, name: shownName(name), issuer },
      'a token is believed on its own word (wasmcloud.trust: self-issued)',
    );
  }

  /** Whatever somebody finds to make requests fail with fills no log. */
  #failed(error: unknown): void {
    const notAllowed = whyNotSubscribed(error);
    if (notAllowed !== undefined) {
      this.#parts.door.notSubscribed(notAllowed);
      return;
    }
    const code = error instanceof CofferError ? error.code : (error as Error | undefined)?.name;
    if (!this.#seldom.may(String(code))) return;
    const reason = error instanceof CofferError ? error.message : undefined;
    this.#parts.log.error(
      { code, reason, at: framesOf(error) },
      'a request over NATS failed, for a reason that is ours',
    );
  }
}

/** Why an unsigned change counts for nothing; undefined: it counts. */
function whyNotUnsigned(
  { unsignedAdmin, allowUnauthenticatedAdmin }: WasmcloudConfig,
  natsIsClosed: boolean,
): string | undefined {
  if (unsignedAdmin === 'refused') {
    return 'this server takes no unsigned administration (wasmcloud.unsignedAdmin: refused): sign it ("coffer wasmcloud" does, with --creds)';
  }
  if (natsIsClosed || allowUnauthenticatedAdmin) return undefined;
  return (
    'this NATS server lets everybody in, so that an unsigned request counts for nothing: sign it ("coffer wasmcloud" does, with ' +
    '--creds), or have the server configured with wasmcloud.allowUnauthenticatedAdmin'
  );
}

/** While the creds cannot be read, nobody's requester is believed. */
function accountOf(config: NatsConfig): string | undefined {
  try {
    return ownAccount(config);
  } catch {
    return undefined;
  }
}
