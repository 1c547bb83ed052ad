import type { IncomingMessage } from 'node:http';
import type { Caller } from '@coffer/engine';
import type { Authenticator, KnownCaller } from '../http/authenticate.js';
import { networkOf } from '../listen/address.js';
import { Refusal } from '../refusal.js';
import { type Rate, TokenBuckets } from './token-buckets.js';

/** How often callers on TCP, and the known ones over NATS, may ask. 0 or absent: as often as they like. */
export interface RequestRates {
  /** Of one principal, each secret of a `get-many` counted; a second's worth may come at once. */
  readonly principalRequestsPerSecond?: number | undefined;
  /** From one client's address, whoever asks; a second's worth may come at once. */
  readonly addressRequestsPerSecond?: number | undefined;
  /** From one client's address, with no token or one that is not valid; a minute's worth may come at once. */
  readonly failuresPerMinute: number;
}

/** Why a request was turned away. */
export type LimitReason = 'principal' | 'address' | 'stranger';

/**
 * What callers have asked for lately on TCP and over NATS, and whether they may ask again.
 *
 * A stranger's tries are counted by address, and honest callers may be behind the same address: who comes with a valid token
 * is never turned away for what a stranger did.
 */
export class RateLimits {
  readonly rejected: Record<LimitReason, number> = { principal: 0, address: 0, stranger: 0 };
  #rates!: RequestRates;
  #principals: TokenBuckets | undefined;
  #addresses: TokenBuckets | undefined;
  #strangers: TokenBuckets | undefined;

  constructor(rates: RequestRates) {
    this.configure(rates);
  }

  /** Counts begin anew where the rate is another one. */
  configure(rates: RequestRates): void {
    const { principalRequestsPerSecond, addressRequestsPerSecond, failuresPerMinute } = rates;
    const before: Partial<RequestRates> = this.#rates ?? {};
    if (principalRequestsPerSecond !== before.principalRequestsPerSecond) {
      this.#principals = buckets(perSecond(principalRequestsPerSecond));
    }
    if (addressRequestsPerSecond !== before.addressRequestsPerSecond) {
      this.#addresses = buckets(perSecond(addressRequestsPerSecond));
    }
    if (failuresPerMinute !== before.failuresPerMinute) {
      this.#strangers = buckets({ perSecond: failuresPerMinute / 60, burst: Math.max(1, failuresPerMinute) });
    }
    this.#rates = rates;
  }

  /** Before anything else is done with a request. @throws Refusal `rate_limited` */
  admitAddress(request: IncomingMessage): void {
    if (this.#addresses === undefined) return;
    this.#take(this.#addresses, networkOfCaller(request), 'address', 'too many requests from your address');
  }

  /** One request of a caller who is known, whichever way it came. @throws Refusal `rate_limited` */
  admitPrincipal({ principals: [{ id }] }: Pick<Caller, 'principals'>): void {
    if (this.#principals === undefined) return;
    this.#take(this.#principals, id, 'principal', `too many requests of ${id}`);
  }

  /** Lets the callers whom it knows pass as often as they may. */
  guard(authenticator: Authenticator): Authenticator {
    const admit = (request: IncomingMessage, caller: KnownCaller | undefined) => {
      if (caller === undefined) this.#admitStranger(request);
      else this.admitPrincipal(caller);
      return caller;
    };
    const refuse = (request: IncomingMessage, error: unknown): never => {
      throw this.refused(request, error);
    };
    return {
      authenticate: (request) => {
        let caller: ReturnType<Authenticator['authenticate']>;
        try {
          caller = authenticator.authenticate(request);
        } catch (error) {
          return refuse(request, error);
        }
        if (!(caller instanceof Promise)) return admit(request, caller);
        return caller.then(
          (known) => admit(request, known),
          (error: unknown) => refuse(request, error),
        );
      },
    };
  }

  /** What a request is refused with: where its caller proved nothing and has tried too often, with that. */
  refused(request: IncomingMessage, error: unknown): unknown {
    if (!(error instanceof Refusal && error.unknownCaller)) return error;
    try {
      this.#admitStranger(request);
      return error;
    } catch (limited) {
      return limited;
    }
  }

  /** What one request asked for counts as so many; the first was counted when it was let in. */
  count({ principals: [{ id }] }: Caller, requests: number): void {
    if (requests > 1) this.#principals?.charge(id, requests - 1);
  }

  #admitStranger(request: IncomingMessage): void {
    if (this.#strangers === undefined) return;
    const what = 'too many requests without a token that is valid came from your address';
    this.#take(this.#strangers, networkOfCaller(request), 'stranger', what);
  }

  #take(buckets: TokenBuckets, key: string, reason: LimitReason, what: string): void {
    const wait = Math.ceil(buckets.take(key));
    if (wait === 0) return;
    this.rejected[reason]++;
    const details = { retryAfter: wait, unknownCaller: reason === 'stranger' };
    throw new Refusal('rate_limited', `${what}: try again in ${wait} s`, details);
  }
}

function perSecond(rate = 0): Rate {
  return { perSecond: rate, burst: Math.max(1, rate) };
}

function buckets(rate: Rate): TokenBuckets | undefined {
  return rate.perSecond > 0 ? new TokenBuckets(rate) : undefined;
}

function networkOfCaller({ socket }: IncomingMessage): string {
  return networkOf(socket.remoteAddress ?? '');
}
