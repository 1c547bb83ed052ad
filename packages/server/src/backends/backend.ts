import type { Engine } from '@coffer/engine';
import type { HostTrust } from '@coffer/identity';
import {
  type Requester,
  type Secret,
  type SecretQuery,
  type ServedBackend,
  serveBackend,
} from '@coffer/wasmcloud';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { BackendConfig } from '../config/backends.js';
import { DEFAULT_CLOCK_SKEW_SECONDS } from '../config/trust.js';
import type { RateLimits } from '../limit/rate-limits.js';
import type { NatsDoor } from '../nats/door.js';
import type { Service } from '../nats/post.js';
import type { Trust } from '../trust/trust.js';
import { Callers, isRevoked } from '../wasmcloud/callers.js';
import type { WasmcloudCounts } from '../wasmcloud/metrics.js';
import { requireAdmission } from '../wasmcloud/own-backend.js';
import { translated } from '../wasmcloud/refuse.js';
import { Teller } from '../wasmcloud/teller.js';
import { TransitRing } from '../wasmcloud/transit-ring.js';
import type { TransitUse } from '../wasmcloud/transit-use.js';
import { auditCodeOf } from './errors.js';
import { GuardedSource } from './guard.js';
import { Health } from './health.js';
import { type OpenedSource, openSource } from './source.js';

/** What all backends share. */
export interface BackendParts {
  readonly engine: Engine;
  readonly door: NatsDoor;
  readonly trust: Trust | undefined;
  readonly clockSkewSeconds: number | undefined;
  /** Which hosts are believed; undefined: any. */
  readonly hosts: HostTrust | undefined;
  readonly rates: Pick<RateLimits, 'admitPrincipal'>;
  readonly log: Logger;
  readonly transitUse: TransitUse;
  /** An xkey's seed, which becomes the current transit key unless the ring has had it. */
  readonly transitSeed?: Uint8Array | undefined;
  /** Of an nkey, which becomes the current key of a backend that signs unless that has had it. */
  readonly signingSeed?: Uint8Array | undefined;
  /** Variables of the environment with secrets of coffer's own. */
  readonly secretVariables: readonly string[];
  readonly onNotice: (sentence: string) => void;
}

/** How a backend is, at one moment. */
export interface BackendFacts {
  readonly name: string;
  readonly kind: BackendConfig['kind'];
  /** Whether requests reach it. */
  readonly serving: boolean;
  readonly inFlight: number;
  /** Since when its source cannot answer; undefined: it can. Why, the log says. */
  readonly notReadySince: Date | undefined;
  readonly counts: WasmcloudCounts;
}

/** Hosts that have asked and gave up, and what they asked for, may be at a source that hangs: so many times what it may have. */
const HANGING = 2;

/**
 * A backend whose secrets lie elsewhere, served behind the NATS door. The engine authorises and audits; what the source does,
 * whether it fails, hangs or answers nonsense, is its own affair.
 *
 * Life: `open`, then `close`, after the door's.
 */
export class Backend implements Service {
  readonly #config: BackendConfig;
  readonly #parts: BackendParts;
  readonly #ring: TransitRing;
  readonly #source: GuardedSource;
  readonly #opened: OpenedSource;
  readonly #health: Health;
  readonly #teller: Teller;
  readonly #callers: Callers;
  #served: ServedBackend | undefined;

  /** @throws CofferError `invalid_argument` for a source that cannot be opened; as `TransitRing.open` */
  static async open(config: BackendConfig, parts: BackendParts): Promise<Backend> {
    const { engine, transitUse: use, transitSeed: seed, onNotice } = parts;
    const { signingSeed, secretVariables } = parts;
    const opened = await openSource(config, { engine, onNotice, signingSeed, secretVariables });
    const { name, timeoutSeconds, maxInFlight } = config;
    const guarded = new GuardedSource(opened.source, {
      name,
      timeoutMs: timeoutSeconds * 1000,
      most: HANGING * maxInFlight,
    });
    try {
      const ring = await TransitRing.open({ engine, backend: name, use, seed, onNotice });
      return new Backend(config, parts, ring, guarded, opened);
    } catch (error) {
      await guarded.close().catch(() => {});
      opened.ended?.();
      throw error;
    }
  }

  private constructor(
    config: BackendConfig,
    parts: BackendParts,
    ring: TransitRing,
    source: GuardedSource,
    opened: OpenedSource,
  ) {
    const { name, trust: believed } = config;
    const log = parts.log.child({ backend: name });
    this.#config = config;
    this.#parts = parts;
    this.#ring = ring;
    this.#source = source;
    this.#opened = opened;
    this.#health = new Health(source, log);
    this.#teller = new Teller({ ...parts, name, log, trustSetting: 'trust of this backend' });
    const selfIssued = believed === 'self-issued';
    const { engine, trust, clockSkewSeconds } = parts;
    this.#callers = new Callers({ engine, verifier: trust?.verifier, selfIssued, clockSkewSeconds });
    if (selfIssued)
      log.warn(
        'any component is believed on its own word by this backend (trust: self-issued). For a migration only',
      );
  }

  get name(): string {
    return this.#config.name;
  }

  /** Public keys of the ring, the newest first. */
  get transitKeys(): readonly string[] {
    return this.#ring.keys().map(({ publicKey }) => publicKey);
  }

  /** JWKs of what it signs with; undefined: it signs nothing. */
  get publicKeys(): readonly object[] | undefined {
    return this.#opened.publicKeys?.();
  }

  get facts(): BackendFacts {
    const { name, kind } = this.#config;
    return {
      name,
      kind,
      serving: this.#parts.door.serves(name),
      inFlight: this.#served?.inFlight ?? 0,
      notReadySince: this.#health.notReadySince,
      counts: this.#teller.metrics.snapshot(),
    };
  }

  serve(nats: NatsConnection): ServedBackend {
    const { engine, trust, hosts, clockSkewSeconds = DEFAULT_CLOCK_SKEW_SECONDS } = this.#parts;
    const { name, prefix, queueGroup, maxInFlight, trust: believed } = this.#config;
    this.#served = serveBackend({
      name,
      prefix,
      queueGroup,
      maxInFlight,
      nats,
      transitKeys: this.#ring,
      trust: {
        verifier: trust?.verifier,
        selfIssued: believed === 'self-issued',
        revoked: (token) => isRevoked(engine, token),
        hosts,
        clockSkewSeconds,
      },
      fetch: (query, requester) => this.#fetch(query, requester),
      ...this.#teller.listeners,
    });
    return this.#served;
  }

  async close(): Promise<void> {
    this.#health.close();
    this.#ring.close();
    try {
      await this.#source.close();
    } finally {
      this.#opened.ended?.();
    }
  }

  /** What has come may not be answered where NATS has become another meanwhile. */
  async #read(query: SecretQuery, requester: Requester): Promise<Secret> {
    const secret = await this.#source.fetch(query, requester);
    try {
      await requireAdmission(() => this.#parts.door.admission());
      return secret;
    } catch (error) {
      secret.value.fill(0);
      throw error;
    }
  }

  async #fetch(query: SecretQuery, requester: Requester): Promise<Secret> {
    const { door, engine, rates } = this.#parts;
    const { name, grants } = this.#config;
    await requireAdmission(() => door.admission());
    const caller = this.#callers.of(requester);
    return translated(async () => {
      rates.admitPrincipal(caller);
      return engine.fetchForeign(
        caller,
        { backend: name, ...query, upstream: this.#source.describe(query, requester) },
        {
          needsGrant: grants === 'required',
          fetch: () => this.#read(query, requester),
          codeOf: auditCodeOf,
        },
      );
    });
  }
}
