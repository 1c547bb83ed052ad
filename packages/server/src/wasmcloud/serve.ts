import type { Engine } from '@coffer/engine';
import { type ServedBackend, serveBackend } from '@coffer/wasmcloud';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { ServerConfig } from '../config/config.js';
import { believedHosts, type NatsConfig, type WasmcloudConfig } from '../config/nats.js';
import { DEFAULT_CLOCK_SKEW_SECONDS } from '../config/trust.js';
import type { RateLimits } from '../limit/rate-limits.js';
import { ownAccount } from '../nats/credentials.js';
import type { NatsDoor } from '../nats/door.js';
import type { Service } from '../nats/post.js';
import type { Trust } from '../trust/trust.js';
import { Askers } from './askers.js';
import { isRevoked } from './callers.js';
import type { WasmcloudMetrics } from './metrics.js';
import { ownOperations } from './operations.js';
import { ownBackend } from './own-backend.js';
import { mappingPrincipal } from './principals.js';
import { Requesters } from './requesters.js';
import { Teller } from './teller.js';
import { TransitRing } from './transit-ring.js';
import type { TransitUse } from './transit-use.js';

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
export class WasmcloudBackend implements Service {
  readonly #parts: WasmcloudParts;
  readonly #ring: TransitRing;
  readonly #teller: Teller;
  #settings: WasmcloudConfig;

  /** @throws CofferError as `TransitRing.open` */
  static async open(parts: WasmcloudParts): Promise<WasmcloudBackend> {
    const { config, engine, transitUse: use, transitSeed: seed, onNotice } = parts;
    const ring = await TransitRing.open({ engine, backend: config.wasmcloud.name, use, seed, onNotice });
    return new WasmcloudBackend(parts, ring);
  }

  private constructor(parts: WasmcloudParts, ring: TransitRing) {
    this.#parts = parts;
    this.#ring = ring;
    this.#settings = parts.config.wasmcloud;
    this.#teller = new Teller({ ...parts, name: this.name, trustSetting: 'wasmcloud.trust' });
    if (this.#settings.trust === 'self-issued') {
      parts.log.warn(
        'wasmcloud.trust is self-issued: any component is believed on its own word, whoever signed its token. For a migration only',
      );
    }
  }

  get name(): string {
    return this.#settings.name;
  }

  get metrics(): WasmcloudMetrics {
    return this.#teller.metrics;
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
    this.#ring.close();
  }

  serve(nats: NatsConnection): ServedBackend {
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
        revoked: (token) => isRevoked(engine, token),
        hosts: believedHosts(config.wasmcloud),
        clockSkewSeconds: config.trust?.clockSkewSeconds ?? DEFAULT_CLOCK_SKEW_SECONDS,
      },
      fetch: ownBackend({
        engine,
        verifier,
        selfIssued,
        clockSkewSeconds: config.trust?.clockSkewSeconds,
        admission,
        admit: (caller) => rates.admitPrincipal(caller),
      }),
      operations: ownOperations({
        engine,
        askers: this.#askers(),
        principalOf: (entity) => mappingPrincipal(entity, { trust: config.trust, wasmcloud: this.#settings }),
        admission,
      }),
      ...this.#teller.listeners,
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
