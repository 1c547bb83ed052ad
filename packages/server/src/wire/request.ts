import type { z } from 'zod';
import { describeIssue } from '../describe.js';
import { Refusal } from '../refusal.js';
import { type FieldName, readFields } from './fields.js';
import { MalformedBody } from './scanner.js';

/** Reads bodies of one setec method. */
export function setecReader<Schema extends z.ZodObject>(schema: Schema): (body: Buffer) => z.output<Schema> {
  const wanted = Object.keys(schema.shape) as FieldName[];
  return (body) => {
    try {
      return schema.parse(readFields(body, wanted));
    } catch (error) {
      throw error instanceof MalformedBody ? new Refusal('bad_request', 'bad request') : error;
    }
  };
}

/** Reads bodies of one of our own methods: strict JSON, nothing after it. */
export function jsonReader<Schema extends z.ZodType>(schema: Schema): (body: Buffer) => z.output<Schema> {
  return (body) => {
    const result = schema.safeParse(parseJson(body));
    if (result.success) return result.data;
    throw new Refusal('bad_request', `the request is not right: ${describeIssue(result.error.issues[0])}`);
  };
}

/** Reads the query of a request's target: of the keys in `lists` all values, of any other one its only value. */
export function queryReader<Schema extends z.ZodType>(
  schema: Schema,
  lists: readonly string[],
): (target: string) => z.output<Schema> {
  return (target) => {
    const query = new URLSearchParams(target.includes('?') ? target.slice(target.indexOf('?') + 1) : '');
    const fields: Record<string, unknown> = {};
    for (const key of new Set(query.keys())) {
      const values = query.getAll(key);
      // Several where there may be one are of the wrong form as well.
      fields[key] = lists.includes(key) || values.length > 1 ? values : values[0];
    }
    const result = schema.safeParse(fields);
    if (result.success) return result.data;
    throw new Refusal('bad_request', `the query is not right: ${describeIssue(result.error.issues[0])}`);
  };
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new Refusal('bad_request', 'the request body is not JSON');
  }
}
