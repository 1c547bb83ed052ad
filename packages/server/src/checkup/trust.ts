import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { counted, rightsOfOthers } from '@coffer/engine';
import { accountInspector, readTrustedOperator } from '@coffer/identity';
import type { ServerConfig } from '../config/config.js';
import type { TrustConfig } from '../config/trust.js';
import { listenAddress } from '../listen/address.js';
import { AccountFiles, type AccountProblem } from '../trust/account-files.js';
import { audiencesOf } from '../trust/audiences.js';
import { type OperatorSource, operatorSources, readOperator } from '../trust/operators.js';
import { type Finding, looking, ok, problem, warning } from './finding.js';

const SUBJECT = 'trust';

/** Whether the trusted operators and their accounts can be read, what proofs must name, and whether seeds lie about. */
export async function checkTrusted(config: ServerConfig, now: Date): Promise<readonly Finding[]> {
  const { trust } = config;
  if (trust === undefined || config.dev) return [];
  const sources = operatorSources(trust.operators, trust.resolver?.store);
  const found = [
    ...sources.map((source) => looking(SUBJECT, () => checkOperator(source, now))),
    looking(SUBJECT, () => checkResolver(trust, sources, now)),
    looking(SUBJECT, async () => checkAudiences(config)),
    looking(SUBJECT, () => checkSeeds(trust)),
  ];
  return (await Promise.all(found)).flat();
}

async function checkOperator(source: OperatorSource, now: Date): Promise<Finding> {
  const { key, name, token } = readTrustedOperator(await readOperator(source));
  const who = `operator ${name === '' ? key : `${name} (${key})`}`;
  if (token === undefined) {
    return ok(SUBJECT, `${who}, by its key alone: accounts that one of its signing keys signed are refused`);
  }
  const { exp } = token;
  if (exp !== undefined && exp * 1000 <= now.getTime()) {
    const since = new Date(exp * 1000).toISOString();
    return problem(
      SUBJECT,
      `the token of ${who} expired at ${since}, so that nobody is trusted for its sake: sign it anew`,
    );
  }
  return ok(SUBJECT, who);
}

async function checkResolver(
  { resolver, accounts, clockSkewSeconds }: TrustConfig,
  sources: readonly OperatorSource[],
  now: Date,
): Promise<Finding | readonly Finding[]> {
  const trusted =
    accounts.length > 0 ? [ok(SUBJECT, `accounts without an operator: ${accounts.join(', ')}`)] : [];
  if (resolver?.nats !== undefined) return [...trusted, ...(await checkNats(resolver.nats))];
  const folder = resolver?.folder ?? (resolver?.store && join(resolver.store, 'accounts'));
  if (resolver === undefined || folder === undefined) return trusted;
  const operators = await readable(sources);
  const inspect = accountInspector({
    operators: () => operators,
    accounts,
    clockSkewSeconds,
    now: () => now,
  });
  const { files, problems } = await new AccountFiles(resolver).look(inspect);
  // That an operator's token cannot be used is a finding of its own.
  const told = operators.length < sources.length ? problems.filter(({ code }) => !code) : problems;
  const good = files - told.length;
  const count = `${good < files ? `${good} of ` : ''}${counted(files, 'account')} in ${folder}`;
  return [
    ...trusted,
    good > 0 ? ok(SUBJECT, count) : warning(SUBJECT, `${count}: nobody can come yet`),
    ...tell(told, ({ account }) => resolver.folder !== undefined && !(account && accounts.includes(account))),
  ];
}

/** After a mistake with all accounts a person needs to see some of them. */
const MOST = 20;

/** @param mayBeOthers a nats-server's folder may hold accounts of operators that are not trusted here */
function tell(
  problems: readonly AccountProblem[],
  mayBeOthers: (problem: AccountProblem) => boolean,
): Finding[] {
  const findings = problems.slice(0, MOST).map((found) => {
    const { path, says, code } = found;
    const sentence = `${path}: ${says}: all users of this account are refused`;
    return mayBeOthers(found) && code === 'unknown_issuer'
      ? warning(SUBJECT, sentence)
      : problem(SUBJECT, sentence);
  });
  const more = problems.length - findings.length;
  return more > 0
    ? [...findings, problem(SUBJECT, `the tokens of ${counted(more, 'more account')} cannot be used`)]
    : findings;
}

async function readable(sources: readonly OperatorSource[]): Promise<string[]> {
  const read = sources.map((source) => readOperator(source).catch(() => undefined));
  return (await Promise.all(read)).filter((token) => token !== undefined);
}

/**
 * Whether a token of an operator or account is older than one that the store remembers: a server refuses all below it.
 *
 * @param issued as the store has it
 */
export async function checkNewest(
  { trust, dev }: ServerConfig,
  issued: ReadonlyMap<string, number>,
  now: Date,
): Promise<readonly Finding[]> {
  if (trust === undefined || dev) return [];
  const { resolver, accounts, clockSkewSeconds } = trust;
  const operators = await readable(operatorSources(trust.operators, resolver?.store));
  const stale = operators
    .flatMap((text) => readTrustedOperator(text).token ?? [])
    .filter(({ key, iat }) => iat < (issued.get(key) ?? 0))
    .map(({ key, name }) => problem(SUBJECT, `the token of operator ${name} (${key}) ${OLDER}`));
  if (resolver === undefined || resolver.nats !== undefined || stale.length > 0) return stale;
  return looking(SUBJECT, async () => {
    const memory = { newest: (key: string) => issued.get(key), remember: async () => {} };
    const options = {
      operators: () => operators,
      accounts,
      clockSkewSeconds,
      issued: memory,
      now: () => now,
    };
    const { problems } = await new AccountFiles(resolver).look(accountInspector(options));
    return problems
      .filter(({ code }) => code === 'stale_token')
      .map(({ path }) => problem(SUBJECT, `the token in ${path} ${OLDER}`));
  });
}

const OLDER =
  'is older than one that this server has seen, so that all below it are refused: put the newest one there';

async function checkNats({ servers, creds, ca }: NonNullable<NonNullable<TrustConfig['resolver']>['nats']>) {
  const where = ok(SUBJECT, `accounts at ${servers.join(', ')}, which is not asked now`);
  for (const path of [creds, ca]) if (path !== undefined) await access(path, constants.R_OK);
  if (creds === undefined || rightsOfOthers(await stat(creds)) === 0) return [where];
  return [where, problem(SUBJECT, `others can read ${creds}: chmod 600 ${creds}`)];
}

function checkAudiences(config: ServerConfig): Finding {
  const audiences = audiencesOf(config, listenAddress(config.listen));
  if (audiences.length === 0) return ok(SUBJECT, 'proofs count over NATS only');
  return ok(SUBJECT, `proofs are to name ${audiences.join(' or ')}`);
}

/**
 * A server needs public keys only. Where nsc's folders of seeds lie beside its stores and this user can read them, who breaks
 * into the server can make identities.
 */
async function checkSeeds({ resolver }: TrustConfig): Promise<readonly Finding[]> {
  if (resolver?.store === undefined) return [];
  const stores = dirname(resolver.store);
  for (const folder of [join(stores, 'keys'), join(dirname(stores), 'keys', 'keys')]) {
    const names = await readdir(folder, { recursive: true }).catch(() => []);
    if (!names.some((name) => name.endsWith('.nk'))) continue;
    const says =
      `the seeds in ${folder} are readable by the server’s user, so that who breaks into it can make identities: keep them ` +
      'on another machine, and here the operator’s folder alone';
    return [warning(SUBJECT, says)];
  }
  return [];
}
