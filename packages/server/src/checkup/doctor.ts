import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConfigSources } from '../config/config.js';
import { checkAuditLog } from './audit-log.js';
import { checkConfiguration } from './configuration.js';
import { checkFiles } from './files.js';
import { type Finding, ok, warning } from './finding.js';
import { checkMachine } from './machine.js';
import { checkNatsServer } from './nats.js';
import { checkStorageServers, ROOT_KEY } from './storage.js';
import { checkStore } from './store.js';
import { checkNewest } from './trust.js';

export interface CheckedInstallation {
  readonly findings: readonly Finding[];
  readonly stateDir: string;
  /** The admin socket of the server that runs on this state folder; undefined while none does. */
  readonly socketPath: string | undefined;
}

/**
 * Looks at everything that a server with this configuration hangs on, whether one runs or not. Changes nothing.
 */
export async function checkInstallation(
  sources: ConfigSources,
  now = new Date(),
): Promise<CheckedInstallation> {
  const { config, owner, findings } = await checkConfiguration(sources, now);
  const { stateDir } = config;
  const server = owner === undefined ? undefined : await processOf(owner);
  const running = owner !== undefined;
  const replica = config.storage.kind === 'jetstream';
  const store = await checkStore(config, sources.env, { inUse: running, now });
  const isThere = statSync(stateDir, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const hasReplica = store.state !== undefined;
  const isClosed = store.refused === 'wrong_root_key';
  const servers = await checkStorageServers(config, { env: sources.env, hasReplica, isClosed });
  const all = [
    ...(await checkMachine(server)),
    ...withoutPromise(findings, servers),
    ...(isThere ? await checkFiles(stateDir) : []),
    ...(isClosed && opensBucket(servers) ? [LATE_REPLICA] : store.findings),
    ...(await checkNewest(config, store.state?.keys?.issued ?? new Map(), now)),
    ...(isThere ? await checkAuditLog(stateDir, store.state, { running, replica, now }) : []),
    ...(await checkNatsServer(config)),
    ...servers,
    ok('server', running ? `${owner}, has the store open` : 'none has the store open'),
  ];
  return {
    findings: withoutRepetition(all),
    stateDir,
    socketPath: running ? join(stateDir, 'admin.sock') : undefined,
  };
}

/** The id in `process 7, running since …`, if it is of this machine's, and coffer's: in a container it may be another's. */
async function processOf(owner: string): Promise<number | undefined> {
  const [, digits] = /^process (\d+),/.exec(owner) ?? [];
  if (digits === undefined) return undefined;
  const command = await readFile(`/proc/${digits}/cmdline`, 'utf8').catch(() => '');
  return /coffer/.test(command) ? Number(digits) : undefined;
}

/** That the first start makes a root key is no comfort where the bucket has a store already, under one that is not here. */
function withoutPromise(findings: readonly Finding[], servers: readonly Finding[]): readonly Finding[] {
  if (!servers.some(({ subject, level }) => subject === ROOT_KEY && level === 'problem')) return findings;
  return findings.filter(({ subject, level }) => subject !== ROOT_KEY || level !== 'ok');
}

const opensBucket = (servers: readonly Finding[]): boolean =>
  servers.some(({ subject, level }) => subject === ROOT_KEY && level === 'ok');

const LATE_REPLICA = warning(
  'store',
  'the replica here is from before the root key was changed at another instance: the next start opens it all the same, by what the ' +
    'bucket has',
);

/** What hinders the look at one thing may hinder the look at another. */
function withoutRepetition(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ says }, index) => findings.findIndex((other) => other.says === says) === index);
}
