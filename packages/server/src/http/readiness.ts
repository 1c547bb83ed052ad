import { counted, type Engine, type SharedHealth } from '@coffer/engine';
import { type NatsFacts, notServing } from '../nats/facts.js';
import type { Problem } from '../refusal.js';
import { warningOf } from '../store-room.js';
import type { Reply } from './reply.js';

/** Why a server takes no requests. */
export interface NotReady {
  readonly code: Extract<Problem['code'], 'stopped' | 'stale'>;
  /** For people; it may be read by anybody. */
  readonly reason: string;
}

export interface ReadinessParts {
  readonly engine: Pick<Engine, 'isWritable' | 'sharedHealth' | 'auditCopies' | 'lacksRootKey'>;
  readonly notReady: () => NotReady | undefined;
  readonly natsFacts: () => NatsFacts | undefined;
  /** Whether anybody who reaches the door may ask, or who administers this machine alone. */
  readonly isPublic: boolean;
}

/**
 * Why requests cannot be served, if they cannot. That nothing can be changed is no such reason: reads go on.
 *
 * @param natsIsAll there is no other door
 */
export function whyNotReady(
  engine: Pick<Engine, 'stopped' | 'stale' | 'sharedHealth'>,
  { closing, natsIsAll, nats }: { closing: boolean; natsIsAll: boolean; nats: NatsFacts | undefined },
): NotReady | undefined {
  const stopped =
    engine.stopped?.message ??
    (closing ? 'the server is shutting down' : natsIsAll ? notServing(nats) : undefined);
  if (stopped !== undefined) return { code: 'stopped', reason: stopped };
  if (!engine.stale) return undefined;
  const { forCaller = 'what is here is older than may be answered' } = engine.sharedHealth?.problem ?? {};
  return { code: 'stale', reason: forCaller };
}

/** `GET /readyz`: whether to send requests here, and what is not as it should be. */
export async function answerReadiness(reply: Reply, parts: ReadinessParts): Promise<void> {
  const { engine, notReady, natsFacts, isPublic } = parts;
  const writable = await engine.isWritable();
  const why = notReady();
  const { sharedHealth } = engine;
  const store = sharedHealth && storeReadiness(sharedHealth, engine, writable);
  if (why) return reply.notReady(why.code, { ready: false, reason: why.reason, store });
  const facts = natsFacts();
  const nats = facts && {
    serving: facts.notServingSince === undefined,
    notServingSince: facts.notServingSince,
    ...(facts.backends.length > 0 && backendReadiness(facts.backends, isPublic)),
  };
  reply.json(JSON.stringify({ ready: true, writable, nats, store }));
}

/**
 * A backend that cannot answer takes nobody else with it: the server stays ready, and says so. How it is called, and since when it
 * fails, is nothing that everybody needs to know.
 */
function backendReadiness(all: NatsFacts['backends'], isPublic: boolean) {
  const backends = all.map(({ name, serving, notReadySince }) => ({
    ...(!isPublic && { name }),
    serving,
    ready: notReadySince === undefined,
    ...(!isPublic && { notReadySince }),
  }));
  const warnings = backends
    .filter(({ serving, ready }) => !(serving && ready))
    .map(({ name, serving }) => {
      const which = name === undefined ? 'a backend' : `the backend ${name}`;
      return `${which} ${serving ? 'cannot answer' : 'is not served'}: the server's log says why`;
    });
  return { backends, warnings };
}

/** In fixed words: what else there is to say names servers and files, and is for administrators. */
function storeReadiness(health: SharedHealth, engine: ReadinessParts['engine'], writable: boolean) {
  const { connected, replicaAge, alarm, sync } = health;
  const age = Number.isFinite(replicaAge) ? { ageSeconds: Math.round(replicaAge) / 1000 } : {};
  return {
    connected,
    ...age,
    ...(alarm && { alarm: alarm.kind }),
    sync,
    warnings: warningsOf(health, engine, writable),
  };
}

function warningsOf(
  health: SharedHealth,
  { auditCopies: copies, lacksRootKey }: ReadinessParts['engine'],
  writable: boolean,
): string[] {
  const { connected, alarm, problem, sync, room } = health;
  const refused = refusalOf(health, lacksRootKey);
  return [
    alarm &&
      'the alarm is raised: changes are refused until a person has looked; see "coffer storage status"',
    alarm?.healer === undefined ? undefined : BROKEN_OFF,
    alarm ? undefined : refused,
    connected ? warningOf(room) : undefined,
    writable || alarm || problem || room?.problem ? undefined : NO_ROOM_HERE,
    lacksRootKey ? NO_ROOT_KEY : undefined,
    sync === 'lazy' ? LAZY : undefined,
    // Without a connection it is told already.
    connected && copies?.problem
      ? `${counted(copies.pending, 'line')} of the audit log ${copies.pending === 1 ? 'is' : 'are'} not copied (${copies.problem.code})`
      : undefined,
  ].filter((warning) => warning !== undefined);
}

/** Why changes are refused, apart from an alarm and for lack of room. */
function refusalOf({ connected, problem, isBeginning }: SharedHealth, lacksRootKey: boolean) {
  if (!connected) return NOT_CONNECTED;
  if (!problem) return undefined;
  if (isBeginning) return BEGINNING;
  const why = problem.code !== 'unavailable' ? '' : lacksRootKey ? ': the root key is lacking' : NO_MAJORITY;
  return `changes are refused now (${problem.code})${why}`;
}

const BEGINNING =
  'the store is about to be read on, as after a start, a heal, or a lost connection: changes are taken in a moment';
const NOT_CONNECTED =
  'there is no connection to the store’s NATS: changes are refused, and so are reads when what is here is too old';
const BROKEN_OFF =
  'a heal is at work, or was broken off: if this lasts for more than a minute, run "coffer storage heal" again, at any instance';
const NO_ROOM_HERE =
  'changes are refused here: there is no room on the disk of this instance, or its quota is used up';
const NO_ROOT_KEY =
  'another instance has changed the root key: give this one the new one, without which it does not start again';
const NO_MAJORITY =
  ': JetStream takes none, as while more than half of its servers are away, or have no room on their disks or in the NATS account';
export const LAZY =
  'the servers of the store acknowledge before they sync (allowLazySync): a power cut may lose what was acknowledged';
