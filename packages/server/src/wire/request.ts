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

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    throw new Refusal('bad_request', 'the request body is not JSON');
  }
}
