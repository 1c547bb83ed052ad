import { openContext, StoreError } from '@coffer/identity';
import { Failure } from './failure.js';
import type { IdentityNames } from './policy-principals.js';
import { quote } from './quote.js';

/**
 * The names of one operator's accounts and users, in the store that "coffer identity" would use.
 *
 * @param folder in place of its folders
 * @throws Failure if it is not clear which operator is meant
 */
export function openNames(folder: string | undefined): IdentityNames {
  const { store } = inWords(() => openContext({ allDirs: folder }));
  const whose = `under the operator ${quote(store.name)}`;
  return {
    accountKey: (name) =>
      inWords(() => {
        if (store.hasAccount(name)) return store.account(name).claims.sub;
        throw new Failure(
          `there is no account ${quote(name)} ${whose}: write its public key, or mend the name`,
        );
      }),
    userKey: (account, name) =>
      inWords(() => {
        const found = store.accountOf(account);
        if (found === undefined) {
          throw new Failure(
            `the account ${account} is not ${whose}, so that its user ${quote(name)} is not known: write the user’s key`,
          );
        }
        if (store.hasUser(found.name, name)) return store.user(found.name, name).claims.sub;
        throw new Failure(
          `there is no user ${quote(name)} in the account ${quote(found.name)} ${whose}: write its public key, or mend the name`,
        );
      }),
  };
}

function inWords<T>(look: () => T): T {
  try {
    return look();
  } catch (error) {
    throw error instanceof StoreError ? new Failure(`names cannot be looked up: ${error.message}`) : error;
  }
}
