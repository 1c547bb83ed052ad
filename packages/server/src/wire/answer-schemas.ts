import { ACTIONS } from '@coffer/engine';
import { z } from 'zod';

/** Answers as they stand on the wire, for `/openapi.json`. Nothing is checked with them but in tests. */

const version = z.int().min(1).max(0xffff_ffff);
const time = z.iso.datetime();
const patterns = z.array(z.string());

export const empty = z.strictObject({});
export const versionNumber = version;

export const secretInfo = z
  .strictObject({ Name: z.string(), Versions: z.array(version), ActiveVersion: version })
  .meta({ id: 'SecretInfo', examples: [{ Name: 'prod/db/password', Versions: [1, 2], ActiveVersion: 2 }] });

/** Nothing to see is `null`, as it is in Go. */
export const secretList = z.array(secretInfo).nullable();

export const secretValue = z
  .strictObject({ Value: z.base64(), Version: version })
  .meta({ id: 'SecretValue', examples: [{ Value: 'dHIwdWI0ZG9y', Version: 1 }] });

export const manyAnswer = z.strictObject({
  secrets: z.array(
    z.union([
      z.strictObject({ name: z.string(), version, value: z.base64() }),
      z.strictObject({ name: z.string(), version, unchanged: z.literal(true) }),
      z.strictObject({
        name: z.string(),
        error: z.enum(['not_found', 'access_denied', 'too_large', 'tampered']),
      }),
    ]),
  ),
});

/** Server-sent events, see `sentEvent`. */
export const events = z.string();

const principal = z
  .strictObject({ id: z.string(), kind: z.string(), name: z.string().optional() })
  .meta({ id: 'Principal', description: 'Who somebody is: grants name the id.' });

export const grant = z
  .strictObject({
    to: patterns,
    actions: z.array(z.enum(ACTIONS)),
    secrets: patterns,
    when: z
      .strictObject({ application: patterns.optional(), host: patterns.optional() })
      .meta({ id: 'Conditions' })
      .optional(),
  })
  .meta({ id: 'Grant' });

export const whoami = z.strictObject({
  principals: z.array(principal),
  grants: z.array(grant),
  server: z.strictObject({
    version: z.string(),
    storeId: z.string(),
    serverKey: z.string(),
    development: z.boolean(),
  }),
});

export const tokenInfo = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    createdAt: time,
    createdBy: z.string(),
    expiresAt: time.optional(),
    revokedAt: time.optional(),
  })
  .meta({ id: 'TokenInfo' });

export const tokenList = z.strictObject({ tokens: z.array(tokenInfo) });

/** The only answer that ever holds a token. */
export const newToken = tokenInfo.extend({ token: z.string() }).meta({ id: 'NewToken' });

export const revocation = z
  .strictObject({
    id: z.string(),
    kind: z.enum(['token', 'key']),
    value: z.string().describe('The token’s jti, or the public key'),
    reason: z.string().describe('Empty if none was given'),
    revokedAt: time,
    revokedBy: z.string(),
  })
  .meta({ id: 'Revocation' });

export const revocationList = z.strictObject({ revocations: z.array(revocation) });

export const policy = z.strictObject({ generation: z.int().min(0), grants: z.array(grant) });

export const policyDifference = z.strictObject({
  added: z.array(grant),
  removed: z.array(grant),
  unchanged: z.int().min(0),
  generation: z.int().min(0),
});

const auditLine = z.strictObject({ seq: z.int().min(0), hash: z.string().regex(/^[0-9a-f]{64}$/) });

export const auditHead = z.strictObject({
  head: auditLine,
  anchor: auditLine,
  first: z.int().min(1),
  storeId: z.string(),
  serverKey: z.string(),
});

export const auditInstances = z.strictObject({
  own: z
    .strictObject({
      instance: z.string(),
      chain: z.string(),
      delivered: auditLine.optional(),
      pending: z.int().min(0),
      pendingSince: z.iso.datetime().optional(),
      problem: z.strictObject({ code: z.string(), message: z.string() }).optional(),
    })
    .nullable(),
  chains: z.array(
    z.strictObject({
      chain: z.string(),
      instance: z.string(),
      name: z.string(),
      first: z.int().min(1),
      head: auditLine,
      time: z.iso.datetime(),
    }),
  ),
});

/** The log's own lines. */
export const auditLines = z.string();

const rotation = z
  .strictObject({
    total: z.int().min(0).describe('Records in the store'),
    remaining: z.int().min(0).describe('Records not yet under the newest data key'),
    problem: z
      .strictObject({ code: z.enum(['storage_full', 'tampered', 'members', 'audit']), message: z.string() })
      .optional(),
  })
  .nullable()
  .meta({ description: 'How far the re-encryption is; null when all records are under one key.' });

export const keys = z
  .strictObject({
    rootKey: z.strictObject({
      kind: z.enum(['file', 'passphrase', 'xkey-seed']),
      id: z.string().optional(),
      since: time.optional(),
    }),
    lacksRootKey: z
      .literal(true)
      .optional()
      .describe('Another instance has changed the root key, and this one was not given the new one yet'),
    dataKeys: z.array(
      z.strictObject({
        id: z.int().min(1),
        createdAt: time,
        state: z.enum(['active', 'retiring']),
        records: z.int().min(0),
      }),
    ),
    rotation,
  })
  .meta({ id: 'Keys' });

export const transitKey = z
  .strictObject({
    backend: z.string(),
    publicKey: z
      .string()
      .describe('`X…`, to which requests are sealed, or `N…`, with which the backend signs'),
    createdAt: time,
    createdBy: z.string(),
    current: z.boolean().describe('Hosts are told this one; of keys that sign, this one does'),
    lastUsedAt: time.optional().describe('Since the server began; absent if no request was sealed to it'),
  })
  .meta({ id: 'TransitKey' });

export const publicKeys = z.strictObject({
  keys: z.array(
    z.strictObject({
      use: z.literal('sig'),
      kty: z.literal('OKP'),
      kid: z.string().describe('Its RFC 7638 thumbprint'),
      alg: z.literal('EdDSA'),
      crv: z.literal('Ed25519'),
      x: z.string(),
    }),
  ),
});

export const transitKeyList = z.strictObject({ keys: z.array(transitKey) });

const instance = z.string().regex(/^[0-9a-f]{16}$/);
const count = z.int().min(0);

const storageAlarm = z
  .strictObject({
    kind: z.enum(['behind', 'gone', 'recreated', 'missing', 'damaged', 'fork']),
    message: z.string(),
    instance: instance.describe('Who raised it'),
    at: time,
  })
  .meta({ id: 'StorageAlarm', description: 'Why nobody writes until a person has looked.' });

const ownStorage = {
  usedBytes: count.describe('Of all records here'),
  quotaBytes: count.optional(),
  writable: z.boolean().describe('Whether changes are taken'),
};

export const storage = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('embedded'), ...ownStorage }),
    z.strictObject({
      kind: z.literal('jetstream'),
      ...ownStorage,
      instance: instance.describe('The one that answers'),
      connected: z.boolean(),
      problem: z
        .strictObject({ code: z.string(), message: z.string() })
        .optional()
        .describe('Why changes are refused'),
      alarm: storageAlarm.optional(),
      lacksRootKey: z
        .literal(true)
        .optional()
        .describe('Another instance has changed the root key, and this one was not given the new one yet'),
      replicaAgeMs: count.optional().describe('Absent before the store was heard of'),
      replicaSequence: count,
      streamSequence: count
        .optional()
        .describe('Equal to the replica’s when all is applied; absent if nobody answers'),
      bucket: z.string(),
      replicas: count,
      sync: z.enum(['always', 'stated', 'lazy']),
      bytes: count.optional(),
      maxBytes: count.optional().describe('Absent if there is no limit'),
      conflicts: count,
      inDoubt: count,
      servers: z
        .array(z.strictObject({ name: z.string(), leader: z.boolean(), current: z.boolean() }))
        .describe(
          'current: it has all that the leader has; where none leads, that the instance is connected to it',
        ),
      members: z.array(
        z.strictObject({
          instance,
          name: z.string(),
          version: z.string(),
          confirmed: count.describe('The highest revision that its replica has, as it last said'),
          seenAt: time,
          alive: z.boolean(),
          ended: z.literal(true).optional().describe('Its last word was that it ends as it should'),
          lacksRootKey: z
            .literal(true)
            .optional()
            .describe('It was not given yet the root key that another instance has put in force'),
        }),
      ),
    }),
  ])
  .meta({ id: 'Storage' });

export const member = z.strictObject({ instance, name: z.string() });

export const healReport = z.strictObject({
  dryRun: z.boolean(),
  alarm: storageAlarm.optional(),
  refusal: z
    .strictObject({ code: z.string(), message: z.string() })
    .optional()
    .describe('In a dry run: why the heal itself would be refused'),
  compared: z.array(instance).describe('Whose replicas were compared'),
  absent: z
    .array(instance)
    .describe('Which members’ were not: they did not answer, or are reading the store anew'),
  restored: count,
  removed: count,
  forks: z.array(
    z.strictObject({
      key: z.string(),
      keptAs: z.string(),
      winner: z.string(),
      other: z.string(),
      secret: z.string().optional().describe('The secret whose record it is'),
    }),
  ),
  damaged: z
    .array(z.strictObject({ key: z.string(), keptAs: z.string() }))
    .describe('Damaged in the stream, and nobody has them'),
  taken: z
    .array(
      z.strictObject({
        what: z.enum(['token', 'identity', 'grant', 'transit-key', 'issued', 'secret', 'version']),
        target: z.string(),
        version: z.int().optional(),
      }),
    )
    .describe('What a future that lost had taken away, and is taken away from the one that won'),
  foreign: count.describe('Messages in the bucket that no instance writes, which are removed'),
  setAside: count.describe(
    'Records that are kept aside: of forks, also of what may have been one, what is damaged, and what does not open',
  ),
});

export const setAside = z.strictObject({
  records: count,
  bytes: count,
  removed: z.boolean().describe('They were there, and are no more'),
});

export const keyRotation = z.strictObject({ rotation });

const storeReadiness = z.strictObject({
  connected: z.boolean(),
  ageSeconds: z.number().min(0).optional().describe('How old what is read here may be.'),
  alarm: z.string().optional(),
  sync: z.enum(['always', 'stated', 'lazy']),
  warnings: z.array(z.string()),
});

export const ready = z.strictObject({
  ready: z.literal(true),
  writable: z.boolean(),
  nats: z
    .strictObject({
      serving: z.boolean(),
      notServingSince: time.optional().describe('Why, the server’s log says.'),
      backends: z
        .array(
          z.strictObject({
            name: z.string().optional().describe('On the admin socket alone.'),
            serving: z.boolean().describe('Whether requests reach it.'),
            ready: z.boolean().describe('Whether it can answer, as far as it says.'),
            notReadySince: time.optional().describe('On the admin socket alone.'),
          }),
        )
        .optional()
        .describe('Those of the configuration’s `backends`.'),
      warnings: z.array(z.string()).optional(),
    })
    .optional()
    .describe('Where the configuration names NATS.'),
  store: storeReadiness.optional().describe('Where several instances share it.'),
});
export const notReady = z.strictObject({
  ready: z.literal(false),
  reason: z.string(),
  store: storeReadiness.optional(),
});

export const problem = z
  .strictObject({ code: z.string(), message: z.string() })
  .meta({ id: 'Problem', description: 'Why not: a code for programs, a sentence for people.' });
