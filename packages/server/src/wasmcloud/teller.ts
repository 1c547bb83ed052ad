import { CofferError, type Engine } from '@coffer/engine';
import type { Answered, BackendOptions, Entity } from '@coffer/wasmcloud';
import type { Logger } from 'pino';
import { framesOf } from '../http/refuse.js';
import type { NatsDoor } from '../nats/door.js';
import { whyNotSubscribed } from '../nats/permission.js';
import { Seldom } from '../nats/seldom.js';
import { shownName } from '../trust/shown-name.js';
import { WasmcloudMetrics } from './metrics.js';
import { Refusals } from './refusals.js';

export interface TellerParts {
  /** Of the backend. */
  readonly name: string;
  readonly engine: Pick<Engine, 'refusedStranger'>;
  readonly door: Pick<NatsDoor, 'notSubscribed'>;
  readonly log: Logger;
  /** By which setting an entity is believed on its own word. */
  readonly trustSetting: string;
}

/** Tells metrics and the log what becomes of a backend's requests. */
export class Teller {
  readonly metrics = new WasmcloudMetrics();
  readonly #parts: TellerParts;
  readonly #seldom = new Seldom();
  readonly #refusals: Refusals;

  constructor(parts: TellerParts) {
    this.#parts = parts;
    this.#refusals = new Refusals(parts.log);
  }

  /** For a backend that is served. */
  get listeners(): Pick<BackendOptions, 'onAnswered' | 'onSelfIssued' | 'onError'> {
    return {
      onAnswered: (answered) => this.#answered(answered),
      onSelfIssued: (entity) => this.#selfIssued(entity),
      onError: (error) => this.#failed(error),
    };
  }

  #answered(answered: Answered): void {
    const { engine, log } = this.#parts;
    this.metrics.answered(answered);
    this.#refusals.answered(answered);
    if (answered.stranger) engine.refusedStranger('nats');
    log.debug({ ...answered }, 'request over NATS');
  }

  #selfIssued({ kind, key, name, token }: Entity): void {
    const { log, trustSetting } = this.#parts;
    this.metrics.selfIssued++;
    const issuer = token.claims.iss;
    log.warn(
      { kind, key, name: shownName(name), issuer },
      `a token is believed on its own word (${trustSetting}: self-issued)`,
    );
  }

  /** Whatever somebody finds to make requests fail with fills no log. */
  #failed(error: unknown): void {
    const { door, name, log } = this.#parts;
    const notAllowed = whyNotSubscribed(error);
    if (notAllowed !== undefined) {
      door.notSubscribed(name, notAllowed);
      return;
    }
    const code = error instanceof CofferError ? error.code : (error as Error | undefined)?.name;
    const at = framesOf(error);
    // What fails at another place is another mistake, and the host was told that the log has it.
    if (!this.#seldom.may(`${code} ${at[0]}`)) return;
    const reason = error instanceof CofferError ? error.message : whatIsNoError(error);
    log.error({ code, reason, at }, 'a request over NATS failed, for a reason that is ours');
  }
}

/** A module may throw what it likes. */
const whatIsNoError = (thrown: unknown): string | undefined =>
  thrown instanceof Error ? undefined : `what was thrown is no Error (${typeof thrown})`;
