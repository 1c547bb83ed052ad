import type { Client, SecretAnswer, SecretInfo } from '@coffer/client';
import { Failure, isClientError } from '../failure.js';
import { attemptEach } from './attempts.js';
import type { Outcome } from './outcome.js';
import { infoOf } from './save.js';

interface Servers {
  readonly source: Client;
  readonly target: Client;
  readonly dryRun: boolean;
  /** The source decides what is active of secrets that the target has already, too. */
  readonly activate: boolean;
}

const LAST_VERSION = 2 ** 32 - 1;

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
  return before === undefined || servers.activate
    ? copyWithActive(secret, before, missing, servers)
    : copyWaiting(secret, before, missing, servers);
}

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
  const newest = await target.getMany([{ name, version: highest }]);
  const added = await source.getMany(missing.map((version) => ({ name, version })));
  try {
    const values = missing.map((version, index) => bytesOf(added[index], version, 'source'));
    let last = bytesOf(newest[0], highest, 'target');
    for (const value of values) {
      if (value.equals(last)) throw needsActivate(missing);
      last = value;
    }
    if (dryRun) return;
    for (const [index, version] of missing.entries()) {
      const given = await target.put(name, values[index] as Buffer);
      if (given !== version) {
        throw new Failure(
          `number ${version} was used there before: its value waits as version ${given}, delete that if it is not wanted`,
        );
      }
    }
  } finally {
    wipe(newest);
    wipe(added);
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
  const requests = versions.map((version) => ({ name, version }));
  const [ours, theirs] = await Promise.all([source.getMany(requests), target.getMany(requests)]);
  try {
    const others = versions.filter((version, index) => {
      return !bytesOf(ours[index], version, 'source').equals(bytesOf(theirs[index], version, 'target'));
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
    const answers = await source.getMany([{ name, version }]);
    try {
      await target.createVersion(name, version, bytesOf(answers[0], version, 'source'));
      active = version;
    } catch (error) {
      if (!isClientError(error) || error.code !== 'version_taken') throw error;
      problems.push(`version ${version} was deleted there, and its number is not used again`);
    } finally {
      wipe(answers);
    }
  }
  const rightful =
    missing.includes(activeVersion) && active !== activeVersion ? before?.activeVersion : activeVersion;
  if (rightful !== undefined && active !== rightful) await target.activate(name, rightful);
  if (problems.length > 0) throw new Failure(problems.join('; '));
}

function bytesOf(answer: SecretAnswer | undefined, version: number, where: string): Buffer {
  if (answer !== undefined && 'value' in answer) return Buffer.from(answer.value.buffer);
  const why = answer !== undefined && 'error' in answer ? answer.error.replaceAll('_', ' ') : 'no answer';
  throw new Failure(`cannot get version ${version} from the ${where}: ${why}`);
}

function wipe(answers: readonly SecretAnswer[]): void {
  for (const answer of answers) if ('value' in answer) answer.value.fill(0);
}
