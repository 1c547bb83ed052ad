import type { Admin, AuditInstances } from '@coffer/client/admin';
import type { AuditTrust, AuditVerdict } from '@coffer/server';

import { displayName } from '../quote.js';

type KnownLine = NonNullable<AuditTrust['known']>[number];
type Chain = AuditInstances['chains'][number];

/** What came of the copies of one instance's log. */
export interface CheckedCopies {
  readonly chain: string;
  readonly instance: string;
  readonly name: string;
  /** They are of the asked server's own log. */
  readonly own: boolean;
  readonly verdict: AuditVerdict;
  /** Why they are not to be trusted, in a sentence. */
  readonly problem?: string;
}

export interface CopiesToCheck {
  readonly admin: Admin;
  readonly instances: AuditInstances;
  /** Of the asked server's own log, which was read from its disk. */
  readonly own: AuditVerdict;
  /** What to trust. */
  readonly trust: Pick<AuditTrust, 'storeId' | 'key'>;
}

/**
 * Checks the copies of all instances' logs, line by line, and that none is missing that somebody saw there: the asked server, of
 * its own, by what was acknowledged to it; others by what they wrote down in their logs.
 */
export async function checkCopies(asked: CopiesToCheck): Promise<CheckedCopies[]> {
  const { instances, own } = asked;
  const checked: CheckedCopies[] = [];
  for (const chain of instances.chains) checked.push(await checkChain(asked, chain));
  const logs = [own, ...checked.map(({ verdict }) => verdict)];
  const takenAway = logs.flatMap((log) => Object.entries(log.takenAway ?? {}));
  const missing = logs
    .flatMap((log) =>
      Object.entries(log.witnessed ?? {}).map(([chain, line]) => ({ by: log.instance, chain, ...line })),
    )
    .filter(({ chain, seq }) => !takenAway.some(([gone, last]) => gone === chain && last.seq >= seq));
  const lost = missing.filter(({ chain, seq }) => {
    const found = checked.find((one) => one.chain === chain);
    return found === undefined || (found.verdict.broken === undefined && found.verdict.head.seq < seq);
  });
  return [
    ...checked.map((one) => {
      const gone = lost.find(({ chain }) => chain === one.chain);
      return gone && one.problem === undefined ? { ...one, problem: cutOff(one, gone) } : one;
    }),
    ...ownGone(asked),
    ...wholly(
      lost.filter(({ chain }) => !checked.some((one) => one.chain === chain)),
      own,
    ),
  ];
}

interface Lost {
  readonly chain: string;
  readonly seq: number;
  /** The instance whose log says so. */
  readonly by: string | undefined;
}

async function checkChain(
  { admin, instances, own, trust }: CopiesToCheck,
  chain: Chain,
): Promise<CheckedCopies> {
  const { auditVerifier } = await import('@coffer/server');
  const { delivered, chain: ownChain } = instances.own ?? {};
  const isOwn = chain.chain === ownChain;
  const seen = own.witnessed?.[chain.chain];
  const known: KnownLine[] = [
    ...(isOwn && delivered ? [{ ...delivered, from: 'the server' }] : []),
    ...(seen ? [{ ...seen, from: 'the asked server’s log' }] : []),
  ];
  const verifier = auditVerifier({ ...trust, instance: chain.instance, known });
  for await (const line of admin.audit({ instance: chain.chain }))
    if (!verifier.add(Buffer.from(line))) break;
  const verdict = verifier.end();
  const { broken } = verdict;
  const problem =
    broken && `${title(chain)} are broken at line ${broken.seq}: ${broken.reason}${signedUpTo(verdict)}`;
  const { instance, name } = chain;
  return {
    chain: chain.chain,
    instance,
    name,
    own: isOwn,
    verdict,
    ...(problem !== undefined && { problem }),
  };
}

const title = ({ chain, name }: { readonly chain: string; readonly name: string }) =>
  `the copies of the audit log of ${displayName(name)} (${chain})`;

const signedUpTo = ({ signed }: AuditVerdict) => (signed > 0 ? `; they are signed up to line ${signed}` : '');

const cutOff = (one: CheckedCopies, { seq, by }: Lost) =>
  `${title(one)} end with line ${one.verdict.head.seq}, and the log of ${by ?? 'the asked server'} tells that line ${seq} was there: the ` +
  'end was taken away';

/** The asked server's own, if nothing is left of it and something was acknowledged. */
function ownGone({ instances, own: verdict }: CopiesToCheck): CheckedCopies[] {
  const { own, chains } = instances;
  const { seq } = own?.delivered ?? { seq: 0 };
  if (own === undefined || seq === 0 || chains.some(({ chain }) => chain === own.chain)) return [];
  const { chain, instance } = own;
  const problem = `the copies of this server’s own audit log are gone, which were acknowledged up to line ${seq}`;
  return [{ chain, instance, name: '', own: true, verdict: { ...verdict, entries: 0 }, problem }];
}

/** Chains of which nothing is left. */
function wholly(lost: readonly Lost[], verdict: AuditVerdict): CheckedCopies[] {
  const chains = new Map(lost.map((one) => [one.chain, one]));
  return [...chains.values()].map(({ chain, seq, by }) => ({
    chain,
    instance: chain.slice(0, 16),
    name: '',
    own: false,
    verdict: { ...verdict, entries: 0 },
    problem: `the copies of the audit log ${chain} are gone, and the log of ${by ?? 'the asked server'} tells that line ${seq} was there`,
  }));
}

/** A row for each chain: whose, which lines, and what is not copied. */
export function copiesTable(copies: readonly CheckedCopies[], own: AuditVerdict): string[][] {
  return copies.map(({ chain, name, verdict, own: isOwn }) => {
    const { first, head, lastTime = '' } = verdict;
    const waiting = own.head.seq - head.seq;
    const late =
      isOwn && waiting > 0 ? `; the last ${waiting} of this server’s log were not copied then` : '';
    return [chain, name, `lines ${first} to ${head.seq}`, `to ${lastTime}${late}`];
  });
}
