import {
  accountMeant,
  type Reissued,
  type RotationReport,
  rotateSigningKey,
  type StoreContext,
  signingKeysOf,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { note, paint, print, printJson } from '../output.js';
import { displayName } from '../quote.js';
import { damagedLine } from './damaged.js';
import { keyMeant } from './key-names.js';
import { pusher, type ServerOptions, targetOf } from './push.js';
import { openStore, type StoreOptions } from './workplace.js';

export interface RotateOptions extends StoreOptions, ServerOptions {
  readonly account?: string;
  readonly operator?: boolean;
  readonly old?: string;
  readonly role?: string;
  readonly keepOld?: boolean;
  readonly deleteOldSeed?: boolean;
  readonly push?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `rotate-signing-key`. */
export async function rotate(options: object): Promise<void> {
  const { account, operator, old, role, keepOld, deleteOldSeed, dryRun, privateKey, json, push, ...rest } =
    options as RotateOptions;
  if (account === undefined && !operator) {
    throw new Failure('say whose signing key is to be replaced: --account NAME, or --operator');
  }
  const context = openStore(rest);
  const of = operator ? undefined : accountMeant(context, account);
  const wanted = {
    account: of,
    old: old === undefined ? undefined : keyMeant(old, signingKeys(context, of)),
    role,
    key: privateKey,
    keepOld,
    deleteOldSeed,
  };
  if (operator && push && !dryRun) requireKnown(await rotateSigningKey(context, { ...wanted, dryRun: true }));
  const pushed: string[] = [];
  const report = await rotateSigningKey(context, {
    ...wanted,
    dryRun,
    push: push ? pusher(context, await targetOf(rest), (line) => pushed.push(line)) : undefined,
  });
  if (json) await printJson({ dryRun: dryRun ?? false, ...report });
  else await tell(report, dryRun ?? false, pushed);
  if (report.damaged.length > 0 && !dryRun) throw new Failure('not all could be signed anew: see above');
}

function signingKeys({ store }: StoreContext, account: string | undefined): Iterable<string> {
  if (account === undefined) return store.operator().claims.nats.signing_keys ?? [];
  return signingKeysOf(store.account(account).claims).keys();
}

/** A server keeps an account that a key signed which it does not know, and at its next start has none. */
function requireKnown({ resumed }: RotationReport): void {
  if (resumed) return;
  throw new Failure(
    'nats-servers do not know a new key of the operator until they are started with its new token: run this with ' +
      '--keep-old and without --push, give them the new configuration and restart them, then run it with --push',
  );
}

async function tell(report: RotationReport, dryRun: boolean, pushed: readonly string[]): Promise<void> {
  const { of, name, old, role, left, damaged, duties } = report;
  const [before, reissued] = [true, false].map((was) =>
    report.reissued.filter((one) => (one.before ?? false) === was),
  ) as [Reissued[], Reissued[]];
  const whose = `${of} ${displayName(name)}${role ? `, role ${displayName(role)}` : ''}`;
  const begun = report.resumed ? ' (going on with what was begun)' : '';
  await print(
    [
      `${dryRun ? 'Would rotate' : 'Rotated'} the signing key of the ${whose}${begun}`,
      `  old  ${old}${report.oldKey === 'kept' ? '  stays for now' : dryRun ? '  goes last' : '  removed'}`,
      `  new  ${report.new ?? 'is made'}`,
      ...section(`${dryRun ? 'Would be signed' : 'Signed'} anew`, reissued.map(reissuedLine)),
      ...section(
        'Signed anew in an earlier run, and the same now: who has these creds keeps them',
        before.map(reissuedLine),
      ),
      ...section('Pushed', pushed),
      ...section('NOT signed anew, since what it holds cannot be read', damaged.map(damagedLine)),
      ...section(
        'Not signed anew, since revoked',
        left.map((one) => `${one.kind} ${displayName(one.name)} of ${displayName(one.account)}`),
      ),
      ...section(
        'Who must act',
        duties.map(({ who, must }) => `${paint('bold', displayName(who))}: ${displayName(must)}`),
      ),
    ].join('\n'),
  );
  if (dryRun) await note('Nothing was changed.');
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', `${title}:`, ...lines.map((line) => `  ${line}`)];
}

function reissuedLine({ kind, name, account, subject, creds }: Reissued): string {
  const shown = displayName(name);
  if (kind === 'account') return `account ${shown}`;
  if (kind === 'activation')
    return account === undefined
      ? `activation ${shown}, given to ${subject}`
      : `activation ${shown}, held by ${displayName(account)}`;
  return `user ${shown} of ${displayName(account ?? '')}, ${creds ?? 'without creds: its seed is not here'}`;
}
