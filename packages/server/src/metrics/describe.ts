import type { EngineFacts } from '@coffer/engine';
import type { BackendFacts } from '../backends/backend.js';
import type { LimitReason } from '../limit/rate-limits.js';
import type { ConnectionCounts } from '../listen/connections.js';
import type { NatsFacts } from '../nats/facts.js';
import type { ProofResult } from '../trust/proofs.js';
import { counter, type Family, gauge, histogram, type Sample } from './family.js';
import type { RequestTimings } from './requests.js';

/** All that is told of a server, at one moment. */
export interface ServerFacts {
  readonly version: string;
  readonly ready: boolean;
  readonly engine: EngineFacts;
  readonly requests: {
    readonly inFlight: number;
    readonly unauthenticated: number;
    readonly timings: readonly RequestTimings[];
  };
  readonly limited: Readonly<Record<LimitReason, number>>;
  readonly connections: readonly ConnectionCounts[];
  readonly certificateEnd: Date | undefined;
  /** Undefined: no identities are trusted. */
  readonly trust:
    | { readonly proofs: Readonly<Record<ProofResult, number>>; readonly missingOperators: number }
    | undefined;
  /** Undefined: there is no NATS door. */
  readonly nats: NatsFacts | undefined;
}

/**
 * The server's own metrics. Labels have few values that are known beforehand: no secret, no principal and no address is among
 * them; public keys are, of transit keys alone. docs/monitoring.md explains each; a test holds the two against each other.
 */
export function describeServer(facts: ServerFacts): Family[] {
  return [
    ...describeDoor(facts),
    ...describeTrust(facts),
    ...describeNats(facts),
    ...describeBackends(facts),
    ...describeEngine(facts.engine),
    ...describeShared(facts.engine),
  ];
}

function describeDoor({
  version,
  ready,
  engine,
  requests,
  limited,
  connections,
  certificateEnd,
}: ServerFacts): Family[] {
  const build: Sample = [{ version, store_format: String(engine.storeFormat) }, 1];
  const byDoor = (count: (one: ConnectionCounts) => number) =>
    connections.map((one): Sample => [{ door: one.door }, count(one)]);
  const refusals = connections.flatMap(({ door, refused }): Sample[] => [
    [{ door, reason: 'all' }, refused.all],
    [{ door, reason: 'address' }, refused.address],
  ]);
  return [
    gauge('coffer_build_info', 'Always 1; the labels tell what runs.', [build]),
    gauge('coffer_ready', '1 if the server takes requests.', Number(ready)),
    histogram(
      'coffer_http_request_duration_seconds',
      'From the head of a request to its answer, by route and class of status.',
      requests.timings.map(({ route, status, timings }) => ({ labels: { route, status }, timings })),
    ),
    gauge('coffer_http_requests_in_flight', 'Requests that are not answered yet.', requests.inFlight),
    counter(
      'coffer_http_requests_unauthenticated_total',
      'Requests without a token that is valid, answered 401 or 429.',
      requests.unauthenticated,
    ),
    counter(
      'coffer_http_requests_limited_total',
      'Requests answered 429, or busy over NATS, by whose limit.',
      Object.entries(limited).map(([limit, count]): Sample => [{ limit }, count]),
    ),
    gauge(
      'coffer_connections',
      'Open connections.',
      byDoor(({ open }) => open),
    ),
    gauge(
      'coffer_connections_max',
      'How many there may be at one time.',
      byDoor(({ most }) => most),
    ),
    counter(
      'coffer_connections_refused_total',
      'Connections that were cut since there were too many: of all, or of one address.',
      refusals,
    ),
    gauge(
      'coffer_tls_certificate_expiry_timestamp_seconds',
      'When the certificate ends; absent without TLS.',
      seconds(certificateEnd),
    ),
  ];
}

function describeTrust({ trust }: ServerFacts): Family[] {
  if (trust === undefined) return [];
  return [
    counter(
      'coffer_proofs_total',
      'Proofs of identities, by what became of them.',
      Object.entries(trust.proofs).map(([result, count]): Sample => [{ result }, count]),
    ),
    gauge(
      'coffer_trusted_operators_missing',
      'Trusted operators whose token cannot be read now.',
      trust.missingOperators,
    ),
  ];
}

function describeNats({ nats }: ServerFacts): Family[] {
  if (nats === undefined) return [];
  const { counts, transitKeys } = nats;
  return [
    gauge('coffer_nats_connected', '1 if there is a connection to NATS.', Number(nats.connected)),
    gauge(
      'coffer_nats_serving',
      '1 if requests are served over NATS.',
      Number(nats.notServingSince === undefined),
    ),
    counter('coffer_nats_reconnects_total', 'Connections to NATS that were made again.', nats.reconnects),
    counter(
      'coffer_wasmcloud_requests_total',
      'Requests over NATS, by what became of them.',
      (counts?.results ?? []).map(({ operation, result, count }): Sample => [{ operation, result }, count]),
    ),
    histogram(
      'coffer_wasmcloud_request_duration_seconds',
      'From a request over NATS to its answer.',
      (counts?.timings ?? []).map(({ operation, timings }) => ({ labels: { operation }, timings })),
    ),
    gauge('coffer_wasmcloud_in_flight', 'Requests over NATS that are not answered yet.', nats.inFlight),
    counter(
      'coffer_wasmcloud_self_issued_total',
      'Tokens that were believed on their own word.',
      counts?.selfIssued ?? 0,
    ),
    gauge(
      'coffer_wasmcloud_transit_key_last_use_timestamp_seconds',
      'When a request was last opened with this transit key; absent until the first one since the start.',
      transitKeys.map(({ key, lastUsed }): Sample => [{ key }, lastUsed.getTime() / 1000]),
    ),
  ];
}

function describeBackends({ nats }: ServerFacts): Family[] {
  const { backends = [] } = nats ?? {};
  if (backends.length === 0) return [];
  const each = (value: (one: BackendFacts) => number) =>
    backends.map((one): Sample => [{ backend: one.name }, value(one)]);
  return [
    gauge(
      'coffer_backend_serving',
      '1 if requests reach this backend.',
      each(({ serving }) => Number(serving)),
    ),
    gauge(
      'coffer_backend_ready',
      '1 if this backend can answer, as far as it says.',
      each(({ notReadySince }) => Number(notReadySince === undefined)),
    ),
    counter(
      'coffer_backend_requests_total',
      'Requests to backends other than coffer’s own store, by what became of them.',
      backends.flatMap(({ name: backend, counts }) =>
        counts.results.map(({ operation, result, count }): Sample => [{ backend, operation, result }, count]),
      ),
    ),
    histogram(
      'coffer_backend_request_duration_seconds',
      'From a request to such a backend to its answer.',
      backends.flatMap(({ name: backend, counts }) =>
        counts.timings.map(({ operation, timings }) => ({ labels: { backend, operation }, timings })),
      ),
    ),
    gauge(
      'coffer_backend_in_flight',
      'Requests to such a backend that are not answered yet.',
      each(({ inFlight }) => inFlight),
    ),
    counter(
      'coffer_backend_self_issued_total',
      'Tokens that such a backend believed on their own word.',
      each(({ counts }) => counts.selfIssued),
    ),
  ];
}

function describeEngine(facts: EngineFacts): Family[] {
  const { secrets, versions, storage, audit, keys, watchers, lastBackup } = facts;
  return [
    gauge('coffer_secrets', 'Secrets that exist.', secrets),
    gauge('coffer_secret_versions', 'Versions of all of them.', versions),
    gauge('coffer_store_bytes', 'Bytes of all records in the store.', storage.usedBytes),
    gauge('coffer_store_quota_bytes', 'How many there may be; absent without a quota.', storage.quotaBytes),
    gauge('coffer_store_writable', '1 if there is room for changes.', Number(storage.writable)),
    gauge('coffer_disk_free_bytes', 'Free bytes on the disk of the store.', storage.disk?.freeBytes),
    gauge(
      'coffer_disk_reserved_bytes',
      'With fewer free bytes than this, changes are refused.',
      storage.disk?.reservedBytes,
    ),
    histogram('coffer_store_commit_duration_seconds', 'Writing a transaction to stable storage.', [
      { timings: storage.commits },
    ]),
    counter(
      'coffer_audit_entries_total',
      'The number of the newest durable line of the audit log.',
      audit.sequence,
    ),
    histogram('coffer_audit_sync_duration_seconds', 'Writing lines of the audit log to stable storage.', [
      { timings: audit.syncs },
    ]),
    ...describeCopies(audit.copies),
    gauge('coffer_data_keys', 'Data keys; more than 1 while records are re-encrypted.', keys.dataKeys),
    gauge('coffer_rotation_records_remaining', 'Records to be re-encrypted.', keys.remaining),
    gauge(
      'coffer_root_key_lacking',
      '1 if another instance has changed the root key, and this one was not given the new one.',
      Number(keys.lacksRootKey),
    ),
    gauge('coffer_watchers', 'Callers that watch for changes.', watchers),
    gauge(
      'coffer_last_backup_timestamp_seconds',
      'When the last whole backup was made; absent until the first one since the start.',
      seconds(lastBackup),
    ),
  ];
}

function describeShared({ shared }: EngineFacts): Family[] {
  if (shared === undefined) return [];
  const { replicaAge, room } = shared;
  return [
    gauge('coffer_storage_connected', '1 if there is a connection to the store.', Number(shared.connected)),
    gauge(
      'coffer_storage_alarm',
      '1 if nobody writes until a person has looked.',
      Number(shared.alarm !== undefined),
    ),
    gauge(
      'coffer_storage_replica_age_seconds',
      'How old what is read here may be; absent before the store was heard of.',
      Number.isFinite(replicaAge) ? replicaAge / 1000 : undefined,
    ),
    gauge('coffer_storage_replica_sequence', 'How far the replica is.', shared.replicaSequence),
    gauge(
      'coffer_storage_bucket_bytes',
      'How many bytes the bucket holds; absent before the store was heard of.',
      room?.bytes,
    ),
    gauge('coffer_storage_bucket_max_bytes', 'How many it may hold; absent without a limit.', room?.maxBytes),
    gauge('coffer_storage_members', 'Instances that have a replica.', shared.members),
    gauge('coffer_storage_members_alive', 'Those of them that live.', shared.membersAlive),
    gauge(
      'coffer_storage_lazy_sync',
      '1 if the servers acknowledge before they sync.',
      Number(shared.sync === 'lazy'),
    ),
    counter(
      'coffer_storage_conflicts_total',
      'Changes that another instance’s overtook, and that were made again.',
      shared.conflicts,
    ),
    counter(
      'coffer_storage_in_doubt_total',
      'Changes of which it was not known for a time whether they came true.',
      shared.inDoubt,
    ),
  ];
}

/** Of an instance that shares its store. */
function describeCopies(copies: EngineFacts['audit']['copies']): Family[] {
  if (copies === undefined) return [];
  const { pending, pendingSince, problem } = copies;
  return [
    gauge('coffer_audit_pending', 'Durable lines of the audit log that are not copied yet.', pending),
    gauge(
      'coffer_audit_pending_seconds',
      'For how long some have been waiting without a break.',
      pendingSince === undefined ? 0 : (Date.now() - pendingSince.getTime()) / 1000,
    ),
    gauge('coffer_audit_copies_stopped', '1 if something hinders the copies.', Number(problem !== undefined)),
  ];
}

function seconds(date: Date | undefined): number | undefined {
  return date && date.getTime() / 1000;
}
