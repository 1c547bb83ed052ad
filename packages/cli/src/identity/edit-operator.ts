import { kindOfPublicKey, type OperatorClaims, type StoreContext, saveOperator } from '@coffer/identity';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';
import { type CommonOptions, changeCommon, keysNamed } from './common-claims.js';
import { withItems, withoutItems } from './flags.js';
import { hasJetStream } from './jetstream.js';
import { anyGiven } from './permissions.js';
import { retire, warnOfRefusedAccounts } from './signing-keys.js';
import { changeStore, type Report, type StoreOptions } from './workplace.js';

export interface EditOperatorOptions extends StoreOptions, CommonOptions {
  readonly sk?: readonly string[];
  readonly rmSk?: readonly string[];
  readonly serviceUrl?: readonly string[];
  readonly rmServiceUrl?: readonly string[];
  readonly accountJwtServerUrl?: string;
  readonly rmAccountJwtServerUrl?: boolean;
  readonly systemAccount?: string;
  readonly requireSigningKeys?: boolean;
}

const FLAGS = [
  ...['sk', 'rmSk', 'serviceUrl', 'rmServiceUrl', 'accountJwtServerUrl', 'rmAccountJwtServerUrl'],
  ...['systemAccount', 'requireSigningKeys', 'tag', 'rmTag', 'start', 'expiry', 'privateKey'],
];

export async function editOperator(options: EditOperatorOptions): Promise<void> {
  if (!anyGiven(options, FLAGS))
    throw new Failure('say what to change; see "coffer identity edit operator --help"');
  await changeStore(options, (context, report) => {
    const { claims: before } = context.store.operator();
    const claims = changeCommon(before, options, report, new Date());
    const nats = {
      ...claims.nats,
      signing_keys: changeSigningKeys(context, before, options, report),
      ...changeServers(before.nats, options, report),
      system_account: changeSystemAccount(context, before, options, report),
    };
    const strict = options.requireSigningKeys ?? before.nats.strict_signing_key_usage ?? false;
    if (strict !== (before.nats.strict_signing_key_usage ?? false)) {
      report.ok(`strict signing key usage set to: ${strict}`);
    }
    if (strict) requireNobodyElse(context, before, nats.signing_keys);
    const changed = { ...claims, nats: { ...nats, strict_signing_key_usage: strict } };
    if (report.saysNothing(options)) return;
    saveOperator(context, changed, { key: options.privateKey });
    report.settle();
    const removed = options.rmSk ?? [];
    retire(context, removed);
    warnOfRefusedAccounts(context, removed, report);
    report.ok(`edited operator ${quote(before.name ?? '')}`);
  });
}

function changeSigningKeys(
  context: StoreContext,
  { nats }: OperatorClaims,
  options: EditOperatorOptions,
  report: Report,
): string[] {
  const { rmSk = [] } = options;
  const missing = rmSk.find((key) => !nats.signing_keys?.includes(key));
  if (missing !== undefined) throw new Failure(`${quote(missing)} is no signing key of the operator`);
  const note = { use: 'signing-key', operator: context.store.name } as const;
  const added = keysNamed(context, 'operator', { flag: '--sk', references: options.sk ?? [] }, note, report);
  for (const key of added) report.ok(`added signing key ${quote(key)}`);
  for (const key of rmSk) report.ok(`removed signing key ${quote(key)}`);
  return withoutItems(withItems(nats.signing_keys, added), rmSk);
}

function changeServers(
  nats: OperatorClaims['nats'],
  options: EditOperatorOptions,
  report: Report,
): Pick<OperatorClaims['nats'], 'account_server_url' | 'operator_service_urls'> {
  const add = (options.serviceUrl ?? []).map((url) => url.toLowerCase());
  const remove = (options.rmServiceUrl ?? []).map((url) => url.toLowerCase());
  for (const url of add) requireUrl(url, ['nats:', 'tls:', 'ws:', 'wss:']);
  for (const url of add) report.ok(`added service url ${quote(url)}`);
  for (const url of remove) report.ok(`removed service url ${quote(url)}`);
  let server = nats.account_server_url;
  if (options.accountJwtServerUrl !== undefined) {
    server = options.accountJwtServerUrl;
    requireUrl(server, ['nats:', 'tls:', 'ws:', 'wss:', 'http:', 'https:']);
    report.ok(`set account jwt server url to ${quote(server)}`);
  }
  if (options.rmAccountJwtServerUrl) {
    server = '';
    report.ok('removed account server url');
  }
  const urls = withoutItems(withItems(nats.operator_service_urls, add), remove);
  return { account_server_url: server, operator_service_urls: urls };
}

function requireUrl(text: string, protocols: readonly string[]): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && url.hostname !== '' && protocols.includes(url.protocol)) return;
  const forms = protocols.map((protocol) => `${protocol}//`).join(', ');
  throw new Failure(
    `${quote(text)} is no address of a server: it begins with one of ${forms} and has a host`,
  );
}

function changeSystemAccount(
  { store }: StoreContext,
  { nats }: OperatorClaims,
  { systemAccount: named }: EditOperatorOptions,
  report: Report,
): string | undefined {
  if (named === undefined) return nats.system_account;
  const isKey = kindOfPublicKey(named) === 'account';
  const account = isKey ? store.accountOf(named)?.jwt : store.account(named);
  if (account !== undefined && hasJetStream(account.claims.nats.limits ?? {})) {
    const name = account.claims.name ?? named;
    throw new Failure(
      `the system account cannot have JetStream: turn it off first, "coffer identity edit account --js-disable ${name}"`,
    );
  }
  const key = account?.claims.sub ?? named;
  if (key !== nats.system_account) report.ok(`set system account ${quote(key)}`);
  return key;
}

/** Before signing keys are demanded, all must be signed with them: else they would be refused at once. */
function requireNobodyElse(
  { store }: StoreContext,
  operator: OperatorClaims,
  signingKeys: readonly string[],
): void {
  if (signingKeys.length === 0) {
    throw new Failure(
      'the operator has no signing key yet: add one, "coffer identity edit operator --sk generate"',
    );
  }
  for (const { name, jwt } of store.accounts()) {
    if (jwt.claims.iss === operator.sub) {
      throw new Failure(
        `the account ${quote(name)} is signed with the operator’s own key: sign it anew first, ` +
          '"coffer identity edit account -K SIGNING-KEY"',
      );
    }
    const user = store.users(name).find((each) => each.jwt.claims.iss === jwt.claims.sub);
    if (user === undefined) continue;
    throw new Failure(
      `the user ${quote(user.name)} is signed with the own key of the account ${quote(name)}: sign it anew first, ` +
        '"coffer identity edit user -K SIGNING-KEY"',
    );
  }
}
