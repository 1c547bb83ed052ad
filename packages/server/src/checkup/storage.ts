import { type BucketState, counted, inspectBucket, inspectBucketKey, requireSync } from '@coffer/engine';
import type { ServerConfig } from '../config/config.js';
import type { NatsReach, NatsUser } from '../config/nats.js';
import type { JetStreamConfig } from '../config/storage.js';
import { checkNatsFiles } from '../nats/credentials.js';
import { jetStreamOptions, systemReach } from '../nats/store-connection.js';
import { mebibytes } from './disk.js';
import { type Finding, looking, ok, problem, warning } from './finding.js';
import { checkSecretFile, hasItsFiles } from './nats.js';
import { usableRootKey } from './store.js';

const SUBJECT = 'JetStream';
export const ROOT_KEY = 'root key';

/** Whether the files that the connection to a store in JetStream needs can be used, are for their owner only, and whether it could start. */
export async function checkStorageSetup({ storage }: ServerConfig): Promise<readonly Finding[]> {
  if (storage.kind !== 'jetstream') return [];
  const files = await checkStorageFiles(storage);
  // The servers are for the doctor to ask.
  if (storage.systemCreds !== undefined) return files;
  const stated = async () => {
    await requireSync(jetStreamOptions(storage));
    return [];
  };
  return [...files, ...(await looking(SUBJECT, stated))];
}

function checkStorageFiles(storage: JetStreamConfig): Promise<readonly Finding[]> {
  return looking(SUBJECT, async () => {
    for (const { as, reach } of usersOf(storage)) checkNatsFiles(reach, as);
    const secret = [storage.creds, storage.nkey, storage.tls?.key, storage.systemCreds];
    const paths = secret.filter((path) => path !== undefined);
    return (await Promise.all(paths.map((path) => checkSecretFile(SUBJECT, path)))).flat();
  });
}

/** As whom NATS is reached. */
const usersOf = (storage: JetStreamConfig): { readonly as: NatsUser; readonly reach: NatsReach }[] => [
  { as: 'storage', reach: storage },
  ...(storage.systemCreds
    ? [{ as: 'system', reach: systemReach(storage, storage.systemCreds) } as const]
    : []),
];

/** Of its limit: then a person should know. */
const NEARLY_ALL = 0.9;

/**
 * Whether the servers of a store in JetStream can be reached, and keep what they acknowledge; and how the bucket is.
 *
 * `hasReplica`: the state folder has one; then no start makes the bucket, and the root key is held against the replica, unless that
 * `isClosed` to it.
 */
export async function checkStorageServers(
  config: ServerConfig,
  {
    env,
    hasReplica,
    isClosed,
  }: { readonly env: Environment; readonly hasReplica: boolean; readonly isClosed: boolean },
): Promise<readonly Finding[]> {
  const { storage } = config;
  if (storage.kind !== 'jetstream' || !usersOf(storage).every(({ reach }) => hasItsFiles(reach))) return [];
  return looking(SUBJECT, async () => {
    const state = await inspectBucket(jetStreamOptions(storage));
    const { server, version } = state;
    return [
      ok(SUBJECT, `${server} (${version}) answers`),
      describeSync(state),
      ...checkRights(state, storage.bucket),
      ...(state.bucket ? describeBucket(state.bucket, storage.bucket) : noBucket(state, storage, hasReplica)),
      ...(state.bucket && (!hasReplica || isClosed) ? await checkBucketKey(config, storage, env) : []),
    ];
  });
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether the root key is that of the store in the bucket, where no replica of it is here that it opens. */
async function checkBucketKey(
  config: ServerConfig,
  storage: JetStreamConfig,
  env: Environment,
): Promise<readonly Finding[]> {
  const rootKey = usableRootKey(config);
  if (!rootKey) return [];
  const { stateDir, dev: development } = config;
  return looking(ROOT_KEY, async () => {
    const opens = await inspectBucketKey(jetStreamOptions(storage), rootKey, { stateDir, development, env });
    return opens ? ok(ROOT_KEY, `it opens the store in the bucket ${storage.bucket}`) : [];
  });
}

function describeSync({ sync }: BucketState): Finding {
  if (sync === 'always') return ok(SUBJECT, 'all servers sync before they acknowledge');
  if (sync === 'stated')
    return ok(SUBJECT, 'the servers sync before they acknowledge, as storage.syncAlways says');
  return warning(
    SUBJECT,
    'the servers acknowledge before they sync, so that a power cut may lose secrets: set sync_interval: always in the jetstream ' +
      'block of each',
  );
}

function checkRights({ denied }: BucketState, bucket: string): Finding[] {
  if (denied.length === 0) return [];
  return [
    problem(
      SUBJECT,
      `the NATS user may not ${denied.join(', nor ')}: is ${bucket} the right storage.bucket? If so, give the user the ` +
        'permissions that docs/scale.md has for it',
    ),
  ];
}

function noBucket(
  { denied, alone, lost }: BucketState,
  { bucket, replicas }: JetStreamConfig,
  hasReplica: boolean,
): Finding[] {
  if (hasReplica)
    return [
      problem(
        SUBJECT,
        `the bucket ${bucket}, of which the replica here was read, is gone: look whether these are the right NATS servers; if so, ` +
          '"coffer storage status" and "coffer storage heal --dry-run" at an instance that runs',
      ),
    ];
  if (lost) return [problem(SUBJECT, lost)];
  if (alone && replicas > 1)
    return [
      problem(
        SUBJECT,
        `there is no bucket ${bucket} yet, and the NATS server is alone, and in no cluster, so that it cannot keep ${replicas} ` +
          'replicas: write storage.replicas: 1, or name the servers of a cluster',
      ),
    ];
  return denied.length > 0 ? [] : [ok(SUBJECT, `there is no bucket ${bucket} yet: the first start makes it`)];
}

function describeBucket(bucket: Bucket, name: string): Finding[] {
  const { replicas, bytes, maxBytes } = bucket;
  const full = maxBytes > 0 ? ` of ${mebibytes(maxBytes)}` : '';
  const what = `the bucket ${name} on ${counted(replicas, 'server')}, ${mebibytes(bytes)}${full}`;
  const found = [ok(SUBJECT, what)];
  if (replicas === 1) {
    found.push(
      warning(
        SUBJECT,
        `the bucket ${name} is on one server, and gone with its disk: "coffer storage replicas 3" where there are three`,
      ),
    );
  }
  found.push(...checkMajority(bucket, name));
  if (maxBytes > 0 && bytes > NEARLY_ALL * maxBytes) {
    found.push(
      problem(
        SUBJECT,
        `the bucket ${name} is nearly full: delete what is not needed, or give it more ("nats stream edit KV_${name} --max-bytes BYTES")`,
      ),
    );
  }
  return found;
}

type Bucket = NonNullable<BucketState['bucket']>;

/** The rule of “coffer storage status”, too. */
function checkMajority({ servers }: Bucket, bucket: string): Finding[] {
  if (servers.length === 0) return [];
  const namesOf = (some: Bucket['servers']) => some.map(({ name }) => name).join(', ');
  if (!servers.some(({ leader }) => leader)) {
    const here = servers.filter(({ current }) => current);
    const answers = here.length === 0 ? '' : `, of which ${namesOf(here)} answers`;
    return [
      problem(
        SUBJECT,
        `none of the servers of the bucket ${bucket} leads (${namesOf(servers)}${answers}), so that nothing can be changed: more ` +
          'than half of them are away, or they choose one at this moment; start those nats-servers',
      ),
    ];
  }
  const behind = servers.filter(({ current }) => !current);
  if (behind.length === 0) return [];
  const which = behind.length === 1 ? 'is away, or has' : 'are away, or have';
  const says = `${namesOf(behind)} ${which} not all of the bucket ${bucket}`;
  if (behind.length < servers.length / 2)
    return [
      warning(SUBJECT, `${says}: look at ${behind.length === 1 ? 'that nats-server' : 'those nats-servers'}`),
    ];
  return [
    problem(
      SUBJECT,
      `${says}: ${behind.length} of ${counted(servers.length, 'server')}, so that nothing can be changed: start those nats-servers`,
    ),
  ];
}
