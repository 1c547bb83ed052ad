import { ACTIONS, AUDIT_ACTIONS, MANY_REQUESTS, WATCH_PATTERNS } from '@coffer/engine';
import { IdentityError, parsePublicKey } from '@coffer/identity';
import { z } from 'zod';
import type { FieldName } from './fields.js';

/** Standard base64, padded; line breaks may stand anywhere in it. */
const BASE64 =
  '^[\\r\\n]*(?:(?:[A-Za-z0-9+/][\\r\\n]*){4})*' +
  '(?:(?:[A-Za-z0-9+/][\\r\\n]*){2}(?:=[\\r\\n]*){2}|(?:[A-Za-z0-9+/][\\r\\n]*){3}=[\\r\\n]*)?$';

/** The forms in which Go's encoding/json takes bytes. */
const VALUE_FORMS = {
  description:
    'The bytes of a value: base64 (standard alphabet, padded) or an array of numbers. Null is no bytes.',
  anyOf: [
    { type: 'string', contentEncoding: 'base64', pattern: BASE64 },
    { type: 'array', items: { type: ['integer', 'null'], minimum: 0, maximum: 255 } },
    { type: 'null' },
  ],
  examples: ['dHIwdWI0ZG9y'],
};

/**
 * Every request that comes in over HTTP, as zod schemas. setec's requests are read by `readFields`, which knows Go's
 * JSON; the others are plain JSON, and strict: an unknown key is an error.
 *
 * `/openapi.json` is made from these. What a schema lets pass and the engine refuses stands in its `meta`, in the words
 * of JSON Schema, so that the document tells it too.
 */

const name = z.string().meta({ id: 'SecretName', minLength: 1, examples: ['prod/db/password'] });
/** setec reserves `_internal/` for itself: it can be read, never written. */
const writableName = z.string().meta({
  id: 'WritableSecretName',
  minLength: 1,
  not: { pattern: '^_internal/' },
  examples: ['prod/db/password'],
});
const version = z.int().min(0).max(0xffff_ffff);
/** Where 0 does not stand for the active one. */
const statedVersion = version.meta({ minimum: 1 });
const value = z.instanceof(Buffer).meta({ id: 'Value', ...VALUE_FORMS });

/** The fields that a setec request may have; all of them are there after reading, as zeros if need be. */
type SetecShape = { readonly [F in FieldName]?: z.ZodType };

const setec = <Shape extends SetecShape>(shape: Shape) => z.object(shape);

export const listRequest = setec({});
export const infoRequest = setec({ Name: name });
export const getRequest = setec({ Name: name, Version: version, UpdateIfChanged: z.boolean() });
export const putRequest = setec({ Name: writableName, Value: value });
export const createVersionRequest = setec({ Name: writableName, Version: statedVersion, Value: value });
export const activateRequest = setec({ Name: writableName, Version: statedVersion });
export const deleteVersionRequest = setec({ Name: writableName, Version: statedVersion });
export const deleteRequest = setec({ Name: writableName });

const oneOfMany = z
  .strictObject({
    name,
    /** 0 or absent: the active one. */
    version: version.optional(),
    /** The version that the caller has: if it is still the active one, it does not come again. */
    known: version.optional(),
  })
  // What is known counts for the active version only.
  .meta({
    id: 'GetRequest',
    not: { required: ['version', 'known'], properties: { version: { minimum: 1 } } },
  });

export const getManyRequest = z.strictObject({ secrets: z.array(oneOfMany).min(1).max(MANY_REQUESTS) });

export const eventId = z.string();
export const watchPattern = z.string().meta({ minLength: 1, maxLength: 1024 });

/** The query of a watch: `secrets` may stand there several times. */
export const watchRequest = z.strictObject({
  secrets: z.array(watchPattern).max(WATCH_PATTERNS).optional(),
  since: eventId.optional(),
});

/** `seq` of a line of the audit log, or a number of lines, as it stands in a query. */
export const lineNumber = z.string().regex(/^[1-9]\d{0,14}$/);
export const auditText = z.string().min(1).max(1024);
/** What the engine would refuse is in the document only, so that its sentence is the one that is told. */
export const auditAction = auditText.meta({ enum: [...AUDIT_ACTIONS] });
export const auditTime = z.string().refine(isTime, 'is no RFC 3339 time').meta({ format: 'date-time' });

export const auditFollow = z.enum(['0', '1']);
export const auditInstance = z.string().regex(/^(?:all|[0-9a-f]{16}(?:-[1-9]\d{0,3})?)$/);

/** The query of a reading of the audit log. */
export const auditRequest = z.strictObject({
  from: lineNumber.optional(),
  last: lineNumber.optional(),
  follow: auditFollow.optional(),
  instance: auditInstance.optional(),
  principal: auditText.optional(),
  secret: auditText.optional(),
  action: auditAction.optional(),
  application: auditText.optional(),
  host: auditText.optional(),
  since: auditTime.optional(),
  until: auditTime.optional(),
});

/** RFC 3339; a leap second counts as the one before it. */
function isTime(text: string): boolean {
  return (
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i.test(text) &&
    !Number.isNaN(timeOf(text).getTime())
  );
}

export function timeOf(text: string): Date {
  return new Date(text.replace(/:60(?=[.Z+-])/i, ':59').toUpperCase());
}

/** A hundred years: enough for every token, and a date that every reader of RFC 3339 can write. */
const MAX_LIFE_SECONDS = 100 * 366 * 24 * 60 * 60;

export const createTokenRequest = z.strictObject({
  name: z.string().meta({ minLength: 1, maxLength: 256 }),
  /** Seconds from now. */
  expiresIn: z.int().min(1).max(MAX_LIFE_SECONDS).optional(),
});

export const backupRequest = z.strictObject({});

export const revokeTokenRequest = z.strictObject({ id: z.string().meta({ pattern: '^[0-9a-f]{16}$' }) });

const publicKey = z
  .string()
  .superRefine((key, context) => {
    try {
      parsePublicKey(key);
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
    }
  })
  .meta({
    description: 'A public nkey: its last characters are a checksum.',
    pattern: '^[A-OQRT-Z][A-Z2-7]{55}$',
  });

/** Either of the two. */
export const revokeRequest = z
  .strictObject({
    jti: z
      .string()
      .meta({ description: 'That field of a token.', pattern: '^(?!S[A-Z2-7]{57}$)[!-~]{1,128}$' })
      .optional(),
    key: publicKey.optional(),
    reason: z.string().meta({ maxLength: 512 }).optional(),
  })
  .meta({ oneOf: [{ required: ['jti'] }, { required: ['key'] }] });

export const liftRevocationRequest = z.strictObject({ id: z.string().meta({ pattern: '^[0-9a-f]{16}$' }) });

const SOME = { minItems: 1, maxItems: 1000 };
const pattern = z.string().meta({
  id: 'Pattern',
  description: 'A literal of up to 1,024 bytes, in which * stands for any run of characters.',
  minLength: 1,
  maxLength: 1024,
});

const when = z
  .strictObject({
    application: z.array(pattern).meta(SOME).optional(),
    host: z.array(pattern).meta(SOME).optional(),
  })
  .meta({
    id: 'NewConditions',
    description:
      'What the request must claim for the grant to hold: of each list that is there, a pattern matches. Narrows, proves nothing.',
    minProperties: 1,
  });

export const grant = z
  .strictObject({
    to: z.array(pattern).meta(SOME),
    actions: z.array(z.enum(ACTIONS)).meta(SOME),
    secrets: z.array(pattern).meta(SOME),
    when: when.optional(),
  })
  .meta({
    id: 'NewGrant',
    // Conditions stand in grants of get alone.
    if: { required: ['when'] },
    // biome-ignore lint/suspicious/noThenProperty: a word of JSON Schema
    then: { properties: { actions: { items: { const: 'get' } } } },
  });

export const applyPolicyRequest = z.strictObject({
  grants: z.array(grant),
  dryRun: z.boolean().optional(),
  expectedGeneration: z.int().min(0).optional(),
});

/** Without `root` it is the data key that is changed. */
/** Of a shared store: more than the largest that it is made for. */
const MEMBERS = 2_000;

const member = z
  .string()
  .meta({ description: 'An instance’s id, or its name.', minLength: 1, maxLength: 256 });

export const rotateKeysRequest = z
  .strictObject({
    root: z.boolean().optional(),
    to: z
      .string()
      .meta({
        description: 'Where the new root key is, or a key file is to be made, on the server.',
        pattern:
          '^((passphrase:|xkey-seed:)?file:/|(passphrase|xkey-seed):env:)[^\\u0000-\\u001f\\u007f-\\u009f]+$',
      })
      .optional(),
    without: z
      .array(member)
      .max(MEMBERS)
      .meta({
        description:
          'Of the data key: members that lack the root key, and are to answer nothing until they are given it.',
      })
      .optional(),
  })
  .meta({
    anyOf: [
      { required: ['root'], properties: { root: { const: true } }, not: { required: ['without'] } },
      { properties: { root: { const: false } }, not: { required: ['to'] } },
    ],
  });

export const storageReplicasRequest = z.strictObject({
  replicas: z.int().meta({ enum: [1, 3, 5] }),
});

export const storageForgetRequest = z.strictObject({
  member,
});

export const storageHealRequest = z.strictObject({
  dryRun: z.boolean().optional(),
  giveUpDamaged: z.boolean().optional(),
  without: z
    .array(member)
    .max(MEMBERS)
    .meta({ description: 'Members that do not answer, and that the heal is to go on without.' })
    .optional(),
});

export const storageSetAsideRequest = z.strictObject({
  remove: z.boolean().meta({ description: 'For good.' }).optional(),
});

const backend = z.string().meta({
  description:
    'The name of a backend: one token of a NATS subject, printable ASCII without `.`, `*` and `>`.',
  pattern: '^[!-)+,\\-/-=?-~]{1,128}$',
});

export const rotateTransitKeyRequest = z.strictObject({
  backend,
  use: z.enum(['sealing', 'signing']).optional().meta({
    description: 'What the key is for: requests are sealed to it (default), or the backend signs with it.',
  }),
});

export const retireTransitKeyRequest = z.strictObject({
  backend,
  publicKey: z.string().meta({
    description: 'Of an xkey; of a key that signs, of a server’s nkey.',
    pattern: '^[XN][A-Z2-7]{55}$',
  }),
});
