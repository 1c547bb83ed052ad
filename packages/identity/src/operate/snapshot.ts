import type { StoreContext } from '../store/context.js';
import { ActivationLedger } from './activation-ledger.js';
import type { Snapshot } from './issued.js';

/** Reads all tokens of an operator's folder. */
export function takeSnapshot({ store, keys }: Pick<StoreContext, 'store' | 'keys'>): Snapshot {
  return {
    operator: store.operator(),
    accounts: store.accounts().map((account) => ({ ...account, users: store.users(account.name) })),
    handedOut: new ActivationLedger(keys.folder).tokens(),
  };
}
