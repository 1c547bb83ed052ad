import {
  ActivationLedger,
  accountMeant,
  decorateToken,
  type Export,
  encodeJwt,
  isContainedIn,
  newActivation,
  subjectProblem,
  userSigner,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { note } from '../output.js';
import { quote } from '../quote.js';
import { times } from './common-claims.js';
import { writeOutput } from './files.js';
import { keyOf } from './imports.js';
import { openStore, type StoreOptions } from './workplace.js';

export interface ActivationOptions extends StoreOptions {
  readonly account?: string;
  readonly targetAccount: string;
  readonly subject?: string;
  readonly start?: string;
  readonly expiry?: string;
  readonly outputFile?: string;
}

/** `generate activation`. */
export async function activation(options: object): Promise<void> {
  const given = options as ActivationOptions;
  const context = openStore(given);
  const account = accountMeant(context, given.account);
  const { claims } = context.store.account(account);
  const target = keyOf(context, given.targetAccount);
  const { subject, exported } = chosen(claims.nats.exports ?? [], given.subject);
  using signer = userSigner(context.store.operator().claims, claims, context.keys, { key: given.privateKey });
  if (signer.scope) throw new Failure('a key with a role signs users only: name another with -K');
  const plain = newActivation(target, { name: subject, on: subject, kind: exported.type ?? 'stream' });
  const nats = {
    ...plain.nats,
    ...(signer.pair.publicKey === claims.sub ? {} : { issuer_account: claims.sub }),
  };
  const { nbf, exp } = times(given, new Date());
  const token = encodeJwt({ ...plain, nbf: nbf || undefined, exp: exp || undefined, nats }, signer.pair);
  new ActivationLedger(context.keys.folder).note(token);
  await writeOutput(given.outputFile, decorateToken(token));
  await note(
    [
      `[ OK ] generated ${quote(exported.name ?? subject)} activation for account ${quote(target)}`,
      ...(given.outputFile === undefined ? [] : [`[ OK ] wrote activation token to \`${given.outputFile}\``]),
    ].join('\n'),
  );
}

function chosen(
  exports: readonly Export[],
  asked: string | undefined,
): { subject: string; exported: Export } {
  const closed = exports.filter(({ token_req }) => token_req);
  const list = closed.map(({ subject = '' }) => quote(subject)).join(', ');
  if (closed.length === 0)
    throw new Failure('this account has no private export, and a public one needs no activation token');
  const subject = asked ?? (closed.length === 1 ? closed[0]?.subject : undefined);
  if (subject === undefined) throw new Failure(`say which export with --subject: ${list}`);
  const problem = subjectProblem(subject);
  if (problem) throw new Failure(`this cannot be activated: ${problem}`);
  const exported = closed.find((one) => isContainedIn(subject, one.subject ?? ''));
  if (exported) return { subject, exported };
  throw new Failure(`no private export of this account covers ${quote(subject)}, only ${list}`);
}
