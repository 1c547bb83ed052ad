import { join } from 'node:path';

import { Administration } from './administration.js';
import { AuditReading } from './audit/reading.js';
import { Backups } from './backup/online.js';
import type { Caller } from './caller.js';
import { Gate, type SharedGate } from './gate.js';
import { Duty } from './instances/duty.js';
import { ForkJoiner } from './instances/fork-join.js';
import { ManifestChanges } from './manifest-changes.js';
import { Mappings } from './mappings.js';
import { DEFAULT_LIMITS } from './names.js';
import { type OpenStore, rootKeyContext } from './open-store.js';
import { AUDIT_FOLDER, type EngineOptions } from './options.js';
import { AgeClock } from './retention/clock.js';
import { Pruner } from './retention/pruner.js';
import { Revocations } from './revocations.js';
import { Keys } from './rotation/keys.js';
import { Rewriter } from './rotation/rewriter.js';
import { RootKeys } from './rotation/root-key-rotation.js';
import { Secrets } from './secrets.js';
import type { SecretsContext } from './secrets-context.js';
import { StorageCare } from './storage-care.js';
import { Tombstones } from './tombstones.js';
import { TransitKeys } from './transit-keys.js';
import { Feed } from './watch/feed.js';
import { DEFAULT_WATCH_LIMITS, Watchers } from './watch/watchers.js';

/** What the engine's verbs are made of, each for a group of them, and what goes on in the background. */
export interface Services {
  readonly context: SecretsContext;
  readonly secrets: Secrets;
  readonly administration: Administration;
  readonly mappings: Mappings;
  readonly revocations: Revocations;
  readonly transitKeys: TransitKeys;
  readonly backups: Backups;
  readonly auditReading: AuditReading;
  readonly watchers: Watchers;
  readonly pruner: Pruner;
  readonly keys: Keys;
  readonly rewriter: Rewriter;
  readonly duty: Duty;
  readonly storageCare: StorageCare;
  readonly tombstones: Tombstones;
}

/** What they ask of the engine. */
export interface ServicesHost {
  readonly shared: SharedGate | undefined;
  /** Whether what is here may be answered from. */
  isFresh(): boolean;
  /** As a request. */
  run<T>(task: () => Promise<T>): Promise<T>;
}

/** Makes them; re-encryption and dropping of versions wait to be begun. */
export function openServices(
  parts: OpenStore,
  options: EngineOptions,
  { shared, isFresh, run }: ServicesHost,
): Services {
  const { storage, header, catalog, manifest, follower, audit } = parts;
  const now = options.now ?? (() => new Date());
  const gate = new Gate(audit, follower ? undefined : storage, now, shared);
  const policy = () => administration.policy;
  const knows = (caller: Caller) => administration.knows(caller);
  const rights = { policy, knows };
  const changes = new ManifestChanges(manifest, gate, rights);
  const administration = new Administration(manifest, changes, gate, now);
  const limits = { ...DEFAULT_LIMITS, ...DEFAULT_WATCH_LIMITS, ...options.limits };
  const mappings = new Mappings({ changes, gate, limits, ...rights });
  const revocations = new Revocations({ manifest, changes, gate, now, ...rights });
  const transitKeys = new TransitKeys({ manifest, changes, gate, now, ...rights });
  const context: SecretsContext = {
    catalog,
    gate,
    ring: header.ring,
    now,
    limits,
    ...rights,
  };
  const secrets = new Secrets(context);
  const auditReading = new AuditReading({
    log: audit,
    gate,
    administration,
    now,
    anchor: () => parts.upkeep.sealed,
    copies: parts.upkeep.copies,
  });
  const backups = new Backups({
    storage,
    ring: header.ring,
    audit,
    auditFolder: join(options.stateDir, AUDIT_FOLDER),
    gate,
    ...rights,
    now,
    patience: options.backupPatience,
  });
  const feed = new Feed();
  catalog.heads.onChange = (name) => feed.secretChanged(name);
  const watched = { feed, catalog, administration, now, isFresh };
  const watchers = new Watchers(watched, gate, limits);
  const duty = new Duty(storage.shared);
  const ageClock = new AgeClock({
    now,
    uptime: options.uptime ?? (() => performance.now()),
    known: audit.lastTimeBefore,
    onAhead: (time, expected) => options.onNotice?.(clockAhead(time, expected)),
  });
  const pruner = new Pruner({
    catalog,
    gate,
    secrets,
    feed,
    now: () => ageClock.now(),
    duty,
    run,
  });
  const rewriter = new Rewriter({
    duty,
    storage,
    header,
    catalog,
    manifest,
    gate,
    secrets,
    changes,
    keepKeys: async () => parts.upkeep.copies?.keepKeys(),
    onNotice: (sentence) => options.onNotice?.(sentence),
  });
  const keys = new Keys({
    storage,
    header,
    gate,
    now,
    rootKeys: new RootKeys(options.rootKey, rootKeyContext(options)),
    rewriter,
    ...rights,
  });
  const forks = new ForkJoiner(header, storage.incarnation, now);
  const storageCare = new StorageCare({ storage, gate, header, join: forks, ...rights });
  const tombstones = new Tombstones({ catalog, storage, duty, now });
  return {
    context,
    secrets,
    administration,
    mappings,
    revocations,
    transitKeys,
    backups,
    auditReading,
    watchers,
    pruner,
    keys,
    rewriter,
    duty,
    storageCare,
    tombstones,
  };
}

const clockAhead = (time: Date, expected: Date): string =>
  `The clock says ${time.toISOString()}, and it should be about ${expected.toISOString()}: no version is dropped for its age ` +
  '(keepDays) for a day. Set the clock right before then, or leave it if it is right.';
