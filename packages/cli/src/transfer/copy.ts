import type { Client, SecretAnswer, SecretInfo } from '@coffer/client';
import { Failure, isClientError } from '../failure.js';
import { attemptEach } from './attempts.js';
import type { Outcome } from './outcome.js';
import { infoOf } from './save.js';

interface Servers {
  readonly source: Client;
  readonly target: Client;
  readonly dryRun: boolean;
}

/**
 * Copies secrets with all their versions under the same numbers, and makes the same ones active. Nothing that the
 * target has is written over: a number that holds another value there, or was deleted there, is a failure of that secret.
 */
export async function copyAll(secrets: readonly SecretInfo[], servers: Servers): Promise<Outcome[]> {
  return attemptEach(secrets, (secret) => copy(secret, servers));
}

async function copy(secret: SecretInfo, servers: Servers): Promise<Outcome> {
  const { name, activeVersion } = secret;
  const before = await infoOf(servers.target, name);
  const there = before?.versions ?? [];
  await compare(
    name,
    secret.versions.filter((version) => there.includes(version)),
    servers,
  );
  const missing = secret.versions.filter((version) => !there.includes(version));
  const unchanged = missing.length === 0 && before?.activeVersion === activeVersion;
  if (!servers.dryRun && !unchanged) await add(secret, before, missing, servers);
  const detail = [
    ...(missing.length === 0
      ? []
      : [`${missing.length === 1 ? 'version' : 'versions'} ${missing.join(', ')}`]),
    `${activeVersion} is active`,
  ].join(', ');
  return { name, outcome: unchanged ? 'unchanged' : before === undefined ? 'created' : 'changed', detail };
}

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
