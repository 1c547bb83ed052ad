import type { AuditSubject } from './audit/entry.js';
import { Doubts } from './instances/doubts.js';
import type { OpenStore } from './open-store.js';
import { isRecent, mayHaveForgotten, NO_OPERATIONS } from './operations.js';
import type { Freshness } from './storage/shared.js';

/** An operation of which is not known whether it came true. */
interface Sought {
  readonly operation: string;
  /** Principal id. */
  readonly principal: string;
  readonly secret?: string | undefined;
}

/** What became of changes of which only their beginning is in the log: the heads tell. */
export class Outcomes {
  readonly #parts: Pick<OpenStore, 'audit' | 'manifest' | 'header' | 'catalog'>;
  readonly #doubts: Doubts | undefined;

  /** @param freshness of a shared store, where the heads tell only after what was sent before has had its time */
  constructor(
    parts: Pick<OpenStore, 'audit' | 'manifest' | 'header' | 'catalog'>,
    freshness: Freshness | undefined,
  ) {
    this.#parts = parts;
    this.#doubts = freshness && new Doubts(freshness);
  }

  /** Closes intents that a crash left open; in a shared store it goes on with that behind the caller's back. */
  async recover(): Promise<void> {
    if (this.#doubts) this.#doubts.settle(() => this.#recover());
    else await this.#recover();
  }

  /** Of a shared store: calls `close` with what became of a change whose answer was lost. */
  settle(
    { caller, operation, secret }: AuditSubject & { readonly operation: string },
    close: (error?: string) => Promise<void>,
  ): void {
    const principal = caller.principals[0].id;
    this.#doubts?.settle(() => close(this.#of({ operation, principal, secret })));
  }

  /** What is not told by then is left to the next start. */
  async close(): Promise<void> {
    await this.#doubts?.close();
  }

  async #recover(): Promise<void> {
    const { audit } = this.#parts;
    for (const intent of audit.openIntents) {
      const { secret, operation, principal } = intent;
      await audit.recover(intent, this.#of({ operation, principal: principal.id, secret }));
    }
  }

  /** Nothing is wrong with it, it was not made, or too much was made since to tell. */
  #of({ operation, principal, secret }: Sought): 'not_made' | 'in_doubt' | undefined {
    const { manifest, header, catalog } = this.#parts;
    const heads =
      secret === undefined
        ? [manifest.operations, header.operations]
        : [catalog.heads.get(secret)?.head.operations ?? NO_OPERATIONS];
    if (heads.some((operations) => isRecent(operations, operation, principal))) return undefined;
    return this.#doubts && heads.some(mayHaveForgotten) ? 'in_doubt' : 'not_made';
  }
}
