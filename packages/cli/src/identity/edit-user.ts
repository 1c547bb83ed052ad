import { accountMeant, saveUser, userMeant, userSigner } from '@coffer/identity';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';
import { reportCreds, requireBearerAllowed, requireNoLimits } from './add.js';
import { type CommonOptions, changeCommon } from './common-claims.js';
import { anyGiven, changeUserLimits, USER_LIMIT_FLAGS, type UserLimitOptions } from './permissions.js';
import { changeStore, maybeName, type StoreOptions } from './workplace.js';

export type EditUserOptions = StoreOptions &
  CommonOptions &
  UserLimitOptions & { readonly name?: string; readonly account?: string };

const FLAGS = [...USER_LIMIT_FLAGS, 'tag', 'rmTag', 'start', 'expiry', 'privateKey'];

export async function editUser(operand: string | undefined, options: EditUserOptions): Promise<void> {
  if (!anyGiven(options, FLAGS))
    throw new Failure('say what to change; see "coffer identity edit user --help"');
  await changeStore(options, (context, report) => {
    const { store, keys, ledger } = context;
    const account = accountMeant(context, options.account);
    const name = userMeant(context, account, maybeName(operand, options.name, 'user'));
    const { claims } = store.user(account, name);
    const wanted = { key: options.privateKey, before: claims.iss };
    using signer = userSigner(store.operator().claims, store.account(account).claims, keys, wanted);
    if (signer.scope !== undefined) requireNoLimits(options, signer.scope.role);
    requireBearerAllowed(context, account, options);
    const common = changeCommon(claims, options, report, new Date());
    const nats = signer.scope === undefined ? changeUserLimits(common.nats, options, report) : common.nats;
    if (report.saysNothing(options)) return;
    const { token, scope } = saveUser(context, account, name, { ...common, nats }, wanted);
    report.settle();
    if (scope !== undefined) ledger.note({ key: claims.sub, role: scope.role });
    try {
      reportCreds(context, account, name, token, report);
    } finally {
      report.ok(`edited user ${quote(name)}`);
      report.settle();
    }
  });
}
