import type { Client, SecretAnswer, SecretInfo } from '@coffer/client';
import { Failure, isClientError } from '../failure.js';
import { attemptEach } from './attempts.js';
import type { Outcome } from './outcome.js';
import { infoOf } from './save.js';

/** Where secrets are copied from. */
export interface Source {
  /** The values of these versions, in their order, for the receiver to wipe. Rejects with a Failure if one cannot be had. */
  values(name: string, versions: readonly number[]): Promise<readonly Uint8Array[]>;
}

interface Servers {
  readonly source: Source;
  readonly target: Client;
  readonly dryRun: boolean;
  /** The source decides what is active of secrets that the target has already, too. */
  readonly activate: boolean;
  /** At the source the newest version is what is read: a secret that has been a copy of it until now goes on to be one. */
  readonly follow?: boolean;
}

export const LAST_VERSION = 2 ** 32 - 1;

/**
 * Copies secrets with all their versions under the same numbers. A secret that is new has the source's active version; of
 * one that the target has already the active version stays, unless it is said otherwise. Nothing that the target has is
 * written over: a number that holds another value there, or was deleted there, is a failure of that secret.
 */
export async function copyAll(secrets: readonly SecretInfo[], servers: Servers): Promise<Outcome[]> {
  return attemptEach(secrets, (secret) => copy(secret, servers));
}

async function copy(secret: SecretInfo, servers: Servers): Promise<Outcome> {
  const { name } = secret;
  const before = await infoOf(servers.target, name);
  const there = before?.versions ?? [];
  await compare(
    name,
    secret.versions.filter((version) => there.includes(version)),
    servers,
  );
  const missing = secret.versions.filter((version) => !there.includes(version)).sort((a, b) => a - b);
  if (before !== undefined && missing.includes(LAST_VERSION)) {
    throw new Failure(
      `version ${LAST_VERSION} is the last number there is, and no put could follow it here: nothing was changed`,
    );
  }
  return before === undefined || servers.activate || (servers.follow && isCopy(before, secret))
    ? copyWithActive(secret, before, missing, servers)
    : copyWaiting(secret, before, missing, servers);
}

/** Whether what is active has come from the source, and nothing else has come since. */
const isCopy = ({ versions, activeVersion }: SecretInfo, source: SecretInfo): boolean =>
  source.versions.includes(activeVersion) && activeVersion === Math.max(...versions);

async function copyWithActive(
  secret: SecretInfo,
  before: SecretInfo | undefined,
  missing: readonly number[],
  servers: Servers,
): Promise<Outcome> {
  const { name, activeVersion } = secret;
  const unchanged = missing.length === 0 && before?.activeVersion === activeVersion;
  if (!servers.dryRun && !unchanged) await add(secret, before, missing, servers);
  const detail = [...numbers(missing), `${activeVersion} is active`].join(', ');
  return { name, outcome: unchanged ? 'unchanged' : before === undefined ? 'created' : 'changed', detail };
}

/**
 * What is active stays so at every moment: the versions are put, and a put gives the number behind the highest. What has
 * another number can only be created, which makes it active.
 */
async function copyWaiting(
  { name, activeVersion }: SecretInfo,
  before: SecretInfo,
  missing: readonly number[],
  servers: Servers,
): Promise<Outcome> {
  const highest = Math.max(...before.versions);
  if (missing.some((version, index) => version !== highest + 1 + index)) throw needsActivate(missing);
  await append(name, highest, missing, servers);
  const stays = before.activeVersion;
  const waits = stays !== activeVersion;
  const detail = [
    ...numbers(missing),
    waits ? `${activeVersion} waits, ${stays} is active` : `${stays} is active`,
  ].join(', ');
  return { name, outcome: missing.length === 0 ? 'unchanged' : 'changed', detail, waits };
}

/** A put of the value that the highest version has already makes no version: that is seen before anything is done. */
async function append(
  name: string,
  highest: number,
  missing: readonly number[],
  { source, target, dryRun }: Servers,
): Promise<void> {
  if (missing.length === 0) return;
  const newest = await clientSource(target, 'target').values(name, [highest]);
  let values: readonly Uint8Array[] = [];
  try {
    values = await source.values(name, missing);
    let last = newest[0] as Uint8Array;
    for (const value of values) {
      if (Buffer.compare(value, last) === 0) throw needsActivate(missing);
      last = value;
    }
    if (dryRun) return;
    for (const [index, version] of missing.entries()) {
      const given = await target.put(name, values[index] as Uint8Array);
      if (given !== version) {
        throw new Failure(
          `number ${version} was used there before: its value waits as version ${given}, delete that if it is not wanted`,
        );
      }
    }
  } finally {
    wipe(newest);
    wipe(values);
  }
}

const needsActivate = (missing: readonly number[]) =>
  new Failure(
    `${numbers(missing)[0]} can only be added by being active for a moment: --activate allows that, and makes active what is so at the source; nothing was changed`,
  );

const numbers = (versions: readonly number[]): string[] =>
  versions.length === 0 ? [] : [`${versions.length === 1 ? 'version' : 'versions'} ${versions.join(', ')}`];

/** Fails if one of these versions has another value there. */
async function compare(
  name: string,
  versions: readonly number[],
  { source, target }: Servers,
): Promise<void> {
  if (versions.length === 0) return;
  const ours = await source.values(name, versions);
  let theirs: readonly Uint8Array[] = [];
  try {
    theirs = await clientSource(target, 'target').values(name, versions);
    const others = versions.filter((_, index) => {
      return Buffer.compare(ours[index] as Uint8Array, theirs[index] as Uint8Array) !== 0;
    });
    if (others.length > 0) {
      throw new Failure(`version ${others.join(', ')} has another value there: nothing was changed`);
    }
  } finally {
    wipe(ours);
    wipe(theirs);
  }
}

/**
 * Each new version is active as soon as it is there; so the one that shall stay active comes last, and if it was there
 * already it is activated after the others.
 */
async function add(
  { name, activeVersion }: SecretInfo,
  before: SecretInfo | undefined,
  missing: readonly number[],
  { source, target }: Servers,
): Promise<void> {
  let active = before?.activeVersion;
  const problems: string[] = [];
  const order = [...missing].sort(
    (a, b) => Number(a === activeVersion) - Number(b === activeVersion) || a - b,
  );
  for (const version of order) {
    const values = await source.values(name, [version]);
    try {
      await target.createVersion(name, version, values[0] as Uint8Array);
      active = version;
    } catch (error) {
      if (!isClientError(error) || error.code !== 'version_taken') throw error;
      problems.push(`version ${version} was deleted there, and its number is not used again`);
    } finally {
      wipe(values);
    }
  }
  const rightful =
    missing.includes(activeVersion) && active !== activeVersion ? before?.activeVersion : activeVersion;
  if (rightful !== undefined && active !== rightful) await target.activate(name, rightful);
  if (problems.length > 0) throw new Failure(problems.join('; '));
}

/** A server that secrets are copied from, or to. */
export function clientSource(client: Client, where: 'source' | 'target'): Source {
  return {
    async values(name, versions) {
      const answers = await client.getMany(versions.map((version) => ({ name, version })));
      try {
        return versions.map((version, index) => valueIn(answers[index], version, where));
      } catch (error) {
        for (const answer of answers) if ('value' in answer) answer.value.fill(0);
        throw error;
      }
    },
  };
}

function valueIn(answer: SecretAnswer | undefined, version: number, where: string): Uint8Array {
  if (answer !== undefined && 'value' in answer) return answer.value;
  const why = answer !== undefined && 'error' in answer ? answer.error.replaceAll('_', ' ') : 'no answer';
  throw new Failure(`cannot get version ${version} from the ${where}: ${why}`);
}

function wipe(values: readonly Uint8Array[]): void {
  for (const value of values) value.fill(0);
}
