import type { Engine } from '@coffer/engine';
import type { Logger } from 'pino';
import { compareConfigs } from './config/changes.js';
import type { ServerConfig } from './config/config.js';
import type { RateLimits } from './limit/rate-limits.js';
import type { NatsDoor } from './nats/door.js';
import type { Certificate } from './tls/certificate.js';
import type { Trust } from './trust/trust.js';
import type { WasmcloudBackend } from './wasmcloud/serve.js';

/** What of a running server can be set anew. */
export interface LiveParts {
  readonly log: Logger;
  readonly certificate: Certificate | undefined;
  readonly rates: RateLimits;
  readonly engine: Pick<Engine, 'setRetention'>;
  readonly trust: Trust | undefined;
  readonly nats: Pick<NatsDoor, 'configure'> | undefined;
  readonly wasmcloud: Pick<WasmcloudBackend, 'configure'> | undefined;
}

/**
 * Takes over what may change while a server runs, and says in the log what was taken over and what needs a restart. The files
 * of the certificate are read again in any case.
 *
 * Either all of it is taken over or, where something is wrong, nothing.
 */
export class Reloader {
  readonly #parts: LiveParts;
  readonly #firstLevel: string;
  /** As it runs; what needs a restart is as it was at the start. */
  #running: ServerConfig;
  #turn: Promise<void> = Promise.resolve();

  constructor(config: ServerConfig, parts: LiveParts) {
    this.#running = config;
    this.#parts = parts;
    this.#firstLevel = config.logLevel === undefined ? parts.log.level : 'info';
  }

  /** One after the other. @param read gives the configuration as it should be, or throws what is wrong with it */
  reload(read: () => ServerConfig): Promise<void> {
    this.#turn = this.#turn.then(() => this.#reload(read));
    return this.#turn;
  }

  async #reload(read: () => ServerConfig): Promise<void> {
    const { log, certificate, rates, engine, trust, nats, wasmcloud } = this.#parts;
    try {
      const wanted = read();
      const { live, needRestart } = compareConfigs(this.#running, wanted);
      // What can fail comes first.
      const install = await certificate?.prepare(wanted.tls);
      const installTrust = wanted.trust && (await trust?.prepare(wanted.trust));
      engine.setRetention(wanted.retention ?? []);
      const renewed = install?.();
      installTrust?.();
      rates.configure(wanted.limits);
      if (wanted.nats) {
        nats?.configure(wanted.nats);
        wasmcloud?.configure(wanted.wasmcloud);
      }
      log.level = wanted.logLevel ?? this.#firstLevel;
      this.#running = this.#merge(wanted);
      const report = { applied: live, needRestart, ...(certificate && { newCertificate: renewed }) };
      if (needRestart.length === 0) log.info(report, 'configuration read again');
      else log.warn(report, 'configuration read again; some of it needs a restart');
    } catch (error) {
      log.error(
        { reason: (error as Error).message },
        'the configuration cannot be used: nothing has changed',
      );
    }
  }

  #merge({ logLevel, tls, limits, retention, trust, nats, wasmcloud }: ServerConfig): ServerConfig {
    const { principalRequestsPerSecond, addressRequestsPerSecond, failuresPerMinute } = limits;
    const rates = { principalRequestsPerSecond, addressRequestsPerSecond, failuresPerMinute };
    const { mappingAccount, allowUnauthenticatedAdmin, unsignedAdmin } = wasmcloud;
    const running = this.#running;
    return {
      ...running,
      logLevel,
      retention,
      ...(running.tls && tls && { tls }),
      ...(running.trust && trust && { trust: { ...running.trust, operators: trust.operators } }),
      ...(running.nats &&
        nats && {
          nats: { ...running.nats, allowOpen: nats.allowOpen },
          wasmcloud: { ...running.wasmcloud, mappingAccount, allowUnauthenticatedAdmin, unsignedAdmin },
        }),
      limits: { ...running.limits, ...rates },
    };
  }
}
