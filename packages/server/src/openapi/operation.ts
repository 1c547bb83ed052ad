import type { ErrorCode } from '@coffer/engine';
import type { z } from 'zod';
import type { DoorCode } from '../refusal.js';

/** What `/openapi.json` tells of one HTTP method of one path. */
export interface Operation {
  readonly id: string;
  readonly tag: 'Secrets' | 'Administration' | 'Server';
  readonly summary: string;
  readonly description?: string;
  /**
   * Who may ask. `everybody`: no header, no token. `known`: the header that browsers cannot send, and a caller that the
   * server knows. `metrics`: a known caller, without that header.
   */
  readonly callers: 'everybody' | 'known' | 'metrics';
  /** Query and header parameters of its own. `Coffer-Operation` is `change: true`. */
  readonly parameters?: readonly Parameter[];
  /** Takes the operation id that makes a retry harmless. */
  readonly change?: true;
  readonly request?: RequestBody;
  readonly answers: Readonly<Record<number, Answer>>;
  /** What can be asked next about what a 200 answers: the fields of that operation's body, as runtime expressions. */
  readonly links?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Codes of errors of its own; those that any route can answer are added. */
  readonly errors?: readonly (ErrorCode | DoorCode)[];
  /** In which form it tells its errors. Default: `json`. */
  readonly errorForm?: 'text' | 'json';
}

export interface RequestBody {
  /** The schema that reads it. */
  readonly schema: z.ZodType;
  /** `go`: as Go's encoding/json reads it. `json`: strict. */
  readonly form: 'go' | 'json';
  readonly example: unknown;
}

export interface Answer {
  readonly description: string;
  /** Absent: no body. */
  readonly type?: string;
  /** Of a JSON answer, or of what a text is. */
  readonly schema?: z.ZodType;
  readonly example?: unknown;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'header' | 'path';
  readonly description: string;
  readonly schema: z.ZodType;
  /** May be given more than once. */
  readonly repeatable?: true;
}

/** An answer in JSON. */
export function json(schema: z.ZodType, description: string, example?: unknown): Answer {
  return { description, type: 'application/json', schema, ...(example === undefined ? {} : { example }) };
}
