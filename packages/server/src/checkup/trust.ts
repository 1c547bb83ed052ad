import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { decodeOperator } from '@coffer/identity';
import type { ServerConfig } from '../config/config.js';
import type { TrustConfig } from '../config/trust.js';
import { parseListenAddress } from '../listen/address.js';
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
    looking(SUBJECT, () => checkResolver(trust)),
    looking(SUBJECT, async () => checkAudiences(config)),
    looking(SUBJECT, () => checkSeeds(trust)),
  ];
  return (await Promise.all(found)).flat();
}

async function checkOperator(source: OperatorSource, now: Date): Promise<Finding> {
  const { sub, name = '', exp } = decodeOperator(await readOperator(source)).claims;
  const who = `operator ${name === '' ? sub : `${name} (${sub})`}`;
  if (exp !== undefined && exp * 1000 <= now.getTime()) {
    const since = new Date(exp * 1000).toISOString();
    return problem(
      SUBJECT,
      `the token of ${who} expired at ${since}, so that nobody is trusted for its sake: sign it anew`,
    );
  }
  return ok(SUBJECT, who);
}

async function checkResolver({ resolver, accounts }: TrustConfig): Promise<Finding | readonly Finding[]> {
  const trusted =
    accounts.length > 0 ? [ok(SUBJECT, `accounts without an operator: ${accounts.join(', ')}`)] : [];
  if (resolver?.nats !== undefined) return [...trusted, ...(await checkNats(resolver.nats))];
  const folder = resolver?.folder ?? (resolver?.store && join(resolver.store, 'accounts'));
  if (folder === undefined) return trusted;
  const names = await readdir(folder);
  const tokens = resolver?.folder === undefined ? names : names.filter((name) => name.endsWith('.jwt'));
  const count = `${tokens.length} ${tokens.length === 1 ? 'account' : 'accounts'} in ${folder}`;
  return [
    ...trusted,
    tokens.length > 0 ? ok(SUBJECT, count) : warning(SUBJECT, `${count}: nobody can come yet`),
  ];
}

async function checkNats({ servers, creds, ca }: NonNullable<NonNullable<TrustConfig['resolver']>['nats']>) {
  const where = ok(SUBJECT, `accounts at ${servers.join(', ')}, which is not asked now`);
  for (const path of [creds, ca]) if (path !== undefined) await access(path, constants.R_OK);
  const mode = creds === undefined ? 0 : (await stat(creds)).mode & 0o077;
  if (mode === 0) return [where];
  return [where, problem(SUBJECT, `others can read ${creds}: chmod 600 ${creds}`)];
}

function checkAudiences(config: ServerConfig): Finding {
  const { port, host } = parseListenAddress(config.listen);
  const audiences = audiencesOf(config, { host, port });
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
