import type { Caller } from '@coffer/engine';
import { ChainError, IdentityError, type UserChain, type Verifier } from '@coffer/identity';
import type { Asker } from '@coffer/wasmcloud';
import type { Logger } from 'pino';
import { chainRefusal } from '../trust/chain-refusal.js';
import { whyNot } from '../trust/conditions.js';
import { Users } from '../trust/users.js';
import { NotBelieved, namedRequester, type RequestInfoGround } from './request-info.js';

export interface RequestersOptions {
  readonly verifier: Pick<Verifier, 'verify' | 'isLive'>;
  readonly log?: Pick<Logger, 'debug'> | undefined;
  readonly now?: () => Date;
}

/**
 * Users of other accounts whose requests come through a service import. That nats-server names them is not enough, since who
 * comes as a leaf node of our own account can write what nats-server writes: their tokens must descend from who is trusted, and
 * hold, as for a proof.
 */
export class Requesters {
  readonly #options: RequestersOptions;
  readonly #users: Users;
  readonly #now: () => Date;

  constructor(options: RequestersOptions) {
    this.#options = options;
    this.#users = new Users(options.verifier);
    this.#now = options.now ?? (() => new Date());
  }

  /** @throws NotBelieved */
  async callerOf(asker: Pick<Asker, 'requestInfo' | 'reply'>, ground: RequestInfoGround): Promise<Caller> {
    const { account, user, jwt } = namedRequester(asker, ground);
    const chain = await this.#verified(jwt);
    if (chain.account.key !== account || chain.subject !== user) {
      throw new NotBelieved('your connection to NATS names another user than your token does');
    }
    const now = this.#now();
    const reason = whyNot(chain.user, 'nats', now, 'NATS');
    if (reason !== undefined) throw new NotBelieved(reason);
    return this.#users.callerOf(chain, 'nats', now);
  }

  async #verified(jwt: string): Promise<UserChain> {
    const { verifier, log } = this.#options;
    try {
      return await verifier.verify(jwt, ['user']);
    } catch (error) {
      if (error instanceof ChainError) throw new NotBelieved(chainRefusal(error, log).message);
      if (error instanceof IdentityError) throw new NotBelieved(`your token on NATS: ${error.message}`);
      throw error;
    }
  }
}
