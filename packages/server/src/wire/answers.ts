import type {
  AuditInstances,
  Grant,
  HealReport,
  KeysInfo,
  MemberName,
  Principal,
  Revocation,
  SecretInfo,
  SecretValue,
  SetAside,
  SharedStatus,
  StorageAlarm,
  StorageInfo,
  TokenInfo,
  TransitKeyInfo,
  When,
} from '@coffer/engine';
import type { TransitUse } from '../wasmcloud/transit-use.js';

/** What Go's encoding/json escapes beyond JSON's own rules. */
const GO_ESCAPES = /[<>&\u2028\u2029]/g;

/** A string as Go's `json.Marshal` writes it. */
function goString(text: string): string {
  return JSON.stringify(text).replace(
    GO_ESCAPES,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function secretInfo({ name, versions, activeVersion }: SecretInfo): string {
  return `{"Name":${goString(name)},"Versions":[${versions.join(',')}],"ActiveVersion":${activeVersion}}`;
}

/** setec answers `null`, not `[]`, when there is nothing to see. */
export function secretList(infos: readonly SecretInfo[]): string {
  return infos.length === 0 ? 'null' : `[${infos.map(secretInfo).join(',')}]`;
}

/** Wipes the value: after this the answer is the only copy. */
export function secretValue({ value, version }: SecretValue): string {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const body = `{"Value":"${bytes.toString('base64')}","Version":${version}}`;
  bytes.fill(0);
  return body;
}

/** Dates become RFC 3339 in UTC, since that is what `toJSON` writes. */
export function tokenInfo({ id, name, createdAt, createdBy, expiresAt, revokedAt }: TokenInfo) {
  return { id, name, createdAt, createdBy, expiresAt, revokedAt };
}

export function revocation({ id, kind, value, reason, revokedAt, revokedBy }: Revocation) {
  return { id, kind, value, reason, revokedAt, revokedBy };
}

/** The last acknowledged line is known by its number alone until the stream was looked at: then it is not told. */
export function auditInstances({ own, chains }: AuditInstances): object {
  const ownCopies = own && {
    instance: own.instance,
    chain: own.chain,
    delivered: own.delivered.hash === '' ? undefined : own.delivered,
    pending: own.pending,
    pendingSince: own.pendingSince,
    problem: own.problem && { code: own.problem.code, message: own.problem.message },
  };
  return {
    own: ownCopies ?? null,
    chains: chains.map(({ chain, instance, name, first, head, time }) => ({
      chain,
      instance,
      name,
      first,
      head,
      time,
    })),
  };
}

export function grant({ to, actions, secrets, when }: Grant) {
  return { to, actions, secrets, ...(when && { when: conditions(when) }) };
}

function conditions({ application, host }: When) {
  return { application, host };
}

export function principal({ id, kind, name }: Principal) {
  return { id, kind, name };
}

/** @param use what tells when it was used last, since the server began */
export function transitKey(
  { backend, publicKey, createdAt, createdBy, current }: TransitKeyInfo,
  use: Pick<TransitUse, 'lastUsed'>,
) {
  return { backend, publicKey, createdAt, createdBy, current, lastUsedAt: use.lastUsed(publicKey) };
}

export function storage({ facts, shared, lacksRootKey }: StorageInfo) {
  const { usedBytes, quotaBytes, writable } = facts;
  const own = { usedBytes, quotaBytes, writable };
  if (shared === undefined) return { kind: 'embedded', ...own };
  return {
    kind: 'jetstream',
    ...own,
    writable: writable && !(shared.health.problem ?? shared.health.room?.problem),
    ...sharedStatus(shared),
    lacksRootKey: lacksRootKey ? true : undefined,
  };
}

function sharedStatus({ health, members, servers, ...stream }: SharedStatus) {
  const { instance, connected, alarm, replicaAge, replicaSequence, sync, conflicts, inDoubt } = health;
  const problem = health.problem ?? health.room?.problem;
  const { bucket, replicas, streamSequence, bytes, maxBytes } = stream;
  return {
    instance,
    connected,
    problem: problem && { code: problem.code, message: problem.message },
    alarm: alarm && storageAlarm(alarm),
    replicaAgeMs: Number.isFinite(replicaAge) ? Math.round(replicaAge) : undefined,
    replicaSequence,
    streamSequence,
    bucket,
    replicas,
    sync,
    bytes,
    maxBytes: maxBytes < 0 ? undefined : maxBytes,
    conflicts,
    inDoubt,
    servers: servers.map(({ name, leader, current }) => ({ name, leader, current })),
    members: members.map(
      ({ instance: id, name, version, confirmed, seenAt, alive, ended, lacksRootKey: lacks }) => ({
        instance: id,
        name,
        version,
        confirmed,
        seenAt,
        alive,
        ended: ended ? true : undefined,
        lacksRootKey: lacks ? true : undefined,
      }),
    ),
  };
}

function storageAlarm({ kind, message, instance, at }: StorageAlarm) {
  return { kind, message, instance, at };
}

export function member({ instance, name }: MemberName) {
  return { instance, name };
}

export function healReport({
  dryRun,
  alarm,
  refusal,
  compared,
  absent,
  restored,
  removed,
  forks,
  taken,
  foreign,
  setAside: aside,
  damaged,
}: HealReport) {
  return {
    dryRun,
    alarm: alarm && storageAlarm(alarm),
    refusal: refusal && { code: refusal.code, message: refusal.message },
    compared,
    absent,
    restored,
    removed,
    forks: forks.map(({ key, keptAs, winner, other, secret }) => ({ key, keptAs, winner, other, secret })),
    damaged: damaged.map(({ key, keptAs }) => ({ key, keptAs })),
    taken: taken.map(({ what, target, version }) => ({ what, target, version })),
    foreign,
    setAside: aside,
  };
}

export function setAside({ records, bytes, removed }: SetAside) {
  return { records, bytes, removed };
}

export function keys({ rootKey, lacksRootKey, dataKeys, rotation }: KeysInfo) {
  return { rootKey, lacksRootKey: lacksRootKey ? true : undefined, dataKeys, rotation: rotation ?? null };
}
