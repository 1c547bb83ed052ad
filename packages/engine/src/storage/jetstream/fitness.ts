import { errors, type NatsConnection } from '@nats-io/nats-core';

import { CofferError } from '../../errors.js';
import type { JetStreamOptions } from './options.js';

/**
 * The oldest nats-server that may hold a store. By its sources and Jepsen's analysis of 2.12.1 (December 2025):
 *
 * - before 2.12 there are no atomic batches;
 * - up to 2.12.2 changes of a cluster's membership with partitions lose acknowledged messages (issue 7545), up to 2.12.3 servers
 *   of one stream may come to differ after a snapshot (7655), and a truncated block ends all writing (7704);
 * - all of 2.12 (looked at up to 2.12.15) ignores the error of a sync, with `sync_interval: always` too, and acknowledges all the
 *   same: `mb.mfd.Sync()` in `filestore.go`. Since 2.14.0 the stream stops on that server;
 * - up to 2.14.1 a block stays locked after such an error (8232).
 *
 * Nothing newer helps against what else Jepsen found, up to 2.15.2: blocks and snapshots that are damaged on a minority of servers
 * (7549, 7556; a repair of truncated logs, 7587, was not taken), and that servers sync every two minutes if nobody says otherwise
 * (7564, 7567). For the latter the servers must sync always; the former is noticed by the instances' own replicas and healed.
 */
export const OLDEST_SERVER = '2.14.2';

/** Every server of the account system's side that hears it answers once. */
const PING_SUBJECT = '$SYS.REQ.SERVER.PING.JSZ';
const PING_MS = 2_000;

/** What is known of whether an acknowledgement means that a message is on stable storage. */
export type Sync = 'always' | 'stated' | 'lazy';

/** One server with JetStream, as it says itself. */
export interface ServerFacts {
  readonly name: string;
  readonly version: string;
  readonly syncAlways: boolean;
}

/** @throws CofferError `unfit_store` for a server that is too old */
export function requireVersion(version: string, server: string): void {
  if (compareVersions(version, OLDEST_SERVER) >= 0) return;
  throw new CofferError(
    'unfit_store',
    `${server} is nats-server ${version}, and a store of secrets needs ${OLDEST_SERVER} or newer: older ones lack atomic batches, ` +
      'or have lost what they had acknowledged; nothing was written. Upgrade all servers of the cluster',
  );
}

/**
 * Looks whether the servers keep what they acknowledge: by the system account, else by what the operator says.
 *
 * @throws CofferError `unfit_store` if they do not, or nobody says so; `unavailable` if none answers
 */
export async function requireSync(options: JetStreamOptions): Promise<Sync> {
  const { connectSystem, syncAlways = false, allowLazySync = false } = options;
  if (!connectSystem) {
    if (syncAlways) return 'stated';
    if (allowLazySync) return 'lazy';
    throw new CofferError(
      'unfit_store',
      'it is not known whether the NATS servers sync before they acknowledge, without which a power cut loses acknowledged secrets: ' +
        'set sync_interval: always in the jetstream block of every server, and give credentials of the system account (storage.systemCreds), by ' +
        'which that is checked, or state storage.syncAlways: true',
    );
  }
  const system = await connectSystem().catch((error: unknown) => {
    throw new CofferError(
      'unavailable',
      `the system account, by which is seen whether the NATS servers sync always, cannot be reached: ${(error as Error).message}`,
      { cause: error },
    );
  });
  try {
    const servers = await serversOf(system);
    for (const { name, version } of servers) requireVersion(version, name);
    const lazy = servers.filter((server) => !server.syncAlways);
    if (lazy.length === 0) return 'always';
    if (allowLazySync) return 'lazy';
    throw new CofferError(
      'unfit_store',
      `${lazy.map(({ name }) => name).join(', ')} would lose acknowledged secrets with a power cut: set sync_interval: always ` +
        'in the jetstream block of every NATS server and start it anew, or take the risk with allowLazySync: true',
    );
  } finally {
    await system.close();
  }
}

/** What {@link requireSync} will say of servers that it lets pass: what is to be said of them while they cannot be asked. */
export function expectedSync({ connectSystem, syncAlways, allowLazySync }: JetStreamOptions): Sync {
  if (!connectSystem && syncAlways) return 'stated';
  if (allowLazySync) return 'lazy';
  return connectSystem ? 'always' : 'stated';
}

/** @throws CofferError `unfit_store` if none answers in time: those of the system account always do */
async function serversOf(system: NatsConnection): Promise<ServerFacts[]> {
  const servers: ServerFacts[] = [];
  try {
    const answers = await system.requestMany(PING_SUBJECT, '{}', { strategy: 'stall', maxWait: PING_MS });
    for await (const { data } of answers) {
      const facts = parseServer(data);
      if (facts) servers.push(facts);
    }
  } catch (error) {
    if (!(error instanceof errors.RequestError || error instanceof errors.NoRespondersError)) throw error;
  }
  if (servers.length > 0) return servers;
  throw new CofferError(
    'unfit_store',
    'no NATS server says whether it syncs always: the credentials for that must be of a user of the system account',
  );
}

/** Undefined for a server without JetStream, and for what is no answer. */
function parseServer(data: Uint8Array): ServerFacts | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(Buffer.from(data).toString());
  } catch {
    return undefined;
  }
  const { server, data: facts } = fieldsOf(answer);
  const { name, ver } = fieldsOf(server);
  const { config, disabled } = fieldsOf(facts);
  if (disabled === true || typeof name !== 'string' || typeof ver !== 'string') return undefined;
  return { name, version: ver, syncAlways: fieldsOf(config).sync_always === true };
}

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};

/** In semver's order: what leads to a release comes before it, 2.14.2-RC.1 before 2.14.2. What is no version is the oldest. */
export function compareVersions(one: string, other: string): number {
  const [left, right] = [parseVersion(one), parseVersion(other)];
  for (const [index, number] of left.numbers.entries()) {
    const difference = number - (right.numbers[index] ?? 0);
    if (difference !== 0) return difference;
  }
  if (left.leading === '' || right.leading === '') return right.leading.length - left.leading.length;
  return left.leading.localeCompare(right.leading, 'en', { numeric: true });
}

/** `leading`: what makes it one that leads to a release, `RC.1`; empty for the release. */
function parseVersion(version: string): { readonly numbers: readonly number[]; readonly leading: string } {
  const found = /^v?(\d+)\.(\d+)\.(\d+)(?:-([\w.-]+))?(?:\+.*)?$/.exec(version);
  if (!found) return { numbers: [0, 0, 0], leading: '' };
  const [, major, minor, patch, leading = ''] = found;
  return { numbers: [major, minor, patch].map(Number), leading };
}
