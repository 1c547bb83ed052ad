import type { StoreContext } from '../store/context.js';
import { ActivationLedger } from './activation-ledger.js';
import type { Snapshot } from './issued.js';

/** Reads all tokens of an operator's folder that can be read. @throws StoreError if the operator's own cannot */
export function takeSnapshot({ store, keys }: Pick<StoreContext, 'store' | 'keys'>): Required<Snapshot> {
  const { tokens, damaged } = store.scanAccounts();
  const accounts = tokens.map((account) => ({ ...account, scanned: store.scanUsers(account.name) }));
  return {
    operator: store.operator(),
    accounts: accounts.map(({ name, jwt, scanned }) => ({ name, jwt, users: scanned.tokens })),
    handedOut: new ActivationLedger(keys.folder).tokens(),
    damaged: [...damaged, ...accounts.flatMap(({ scanned }) => scanned.damaged)],
  };
}
