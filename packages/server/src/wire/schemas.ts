import { ACTIONS, MANY_REQUESTS } from '@coffer/engine';
import { z } from 'zod';
import type { FieldName } from './fields.js';

/**
 * Every request that comes in over HTTP, as zod schemas. setec's requests are read by `readFields`, which knows Go's
 * JSON; the others are plain JSON, and strict: an unknown key is an error.
 */

const name = z.string();
const version = z.int().min(0).max(0xffff_ffff);
const value = z.instanceof(Buffer);

/** The fields that a setec request may have; all of them are there after reading, as zeros if need be. */
type SetecShape = { readonly [F in FieldName]?: z.ZodType };

const setec = <Shape extends SetecShape>(shape: Shape) => z.object(shape);

export const listRequest = setec({});
export const infoRequest = setec({ Name: name });
export const getRequest = setec({ Name: name, Version: version, UpdateIfChanged: z.boolean() });
export const putRequest = setec({ Name: name, Value: value });
export const createVersionRequest = setec({ Name: name, Version: version, Value: value });
export const activateRequest = setec({ Name: name, Version: version });
export const deleteVersionRequest = setec({ Name: name, Version: version });
export const deleteRequest = setec({ Name: name });

export const getManyRequest = z.strictObject({
  secrets: z
    .array(
      z.strictObject({
        name,
        /** 0 or absent: the active one. */
        version: version.optional(),
        /** The version that the caller has: if it is still the active one, it does not come again. */
        known: version.optional(),
      }),
    )
    .min(1)
    .max(MANY_REQUESTS),
});

/** A hundred years: enough for every token, and a date that every reader of RFC 3339 can write. */
const MAX_LIFE_SECONDS = 100 * 366 * 24 * 60 * 60;

export const createTokenRequest = z.strictObject({
  name: z.string(),
  /** Seconds from now. */
  expiresIn: z.int().min(1).max(MAX_LIFE_SECONDS).optional(),
});

export const revokeTokenRequest = z.strictObject({ id: z.string() });

export const grant = z.strictObject({
  to: z.array(z.string()),
  actions: z.array(z.enum(ACTIONS)),
  secrets: z.array(z.string()),
});

export const applyPolicyRequest = z.strictObject({
  grants: z.array(grant),
  dryRun: z.boolean().optional(),
  expectedGeneration: z.int().min(0).optional(),
});
