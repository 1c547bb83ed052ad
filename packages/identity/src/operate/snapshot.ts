import type { StoreContext } from '../store/context.js';
import type { Snapshot } from './issued.js';

/** Reads all tokens of an operator's folder. */
export function takeSnapshot({ store }: Pick<StoreContext, 'store'>): Snapshot {
  return {
    operator: store.operator(),
    accounts: store.accounts().map((account) => ({ ...account, users: store.users(account.name) })),
  };
}
