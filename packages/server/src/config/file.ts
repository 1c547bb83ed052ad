import { readFileSync } from 'node:fs';
import { CofferError } from '@coffer/engine';
import { type Document, isNode, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { describeIssue } from '../describe.js';

const bytes = z.int('must be a whole number of bytes').min(1);
/** 0: without end. */
const rate = z.number().min(0).max(1_000_000);
const seconds = z.number().positive().max(86_400);

/** The configuration file. A key that is not here is an error. */
const fileSchema = z.strictObject({
  listen: z.string().optional(),
  stateDir: z.string().optional(),
  rootKey: z.string().optional(),
  publicUrl: z.string().optional(),
  insecureHttp: z.boolean().optional(),
  tls: z.strictObject({ cert: z.string().optional(), key: z.string().optional() }).optional(),
  limits: z
    .strictObject({
      nameBytes: bytes.optional(),
      valueBytes: bytes.optional(),
      bodyBytes: bytes.optional(),
      inFlightBytes: bytes.optional(),
      headerBytes: bytes.optional(),
      connections: z.int().min(1).optional(),
      connectionsPerAddress: z.int().min(1).optional(),
      principalRequestsPerSecond: rate.optional(),
      addressRequestsPerSecond: rate.optional(),
      failuresPerMinute: rate.optional(),
      headersSeconds: seconds.optional(),
      requestSeconds: seconds.optional(),
      idleSeconds: seconds.optional(),
    })
    .optional(),
  storage: z
    .strictObject({
      quotaBytes: bytes.optional(),
      minFreeBytes: z.int().min(0).exactOptional(),
    })
    .optional(),
});

export type FileConfig = z.output<typeof fileSchema>;

/** @throws CofferError `invalid_argument`, with the line and the path of what is wrong. */
export function readConfigFile(path: string): FileConfig {
  const lines = new LineCounter();
  const document = parseDocument(readText(path), { lineCounter: lines, prettyErrors: false });
  const [syntaxError] = document.errors;
  if (syntaxError !== undefined) {
    const { line } = lines.linePos(syntaxError.pos[0]);
    throw refuse(`${path}:${line}: ${syntaxError.message}`);
  }
  const result = fileSchema.safeParse(document.toJS() ?? {});
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const line = lineOf(document, lines, issue);
  throw refuse(`${path}${line === undefined ? '' : `:${line}`}: ${describeIssue(issue)}`);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`;
    throw refuse(`the configuration file ${path}: ${reason}`);
  }
}

function lineOf(
  document: Document,
  lines: LineCounter,
  issue: z.core.$ZodIssue | undefined,
): number | undefined {
  const path = issue?.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0]] : issue?.path;
  const node = path && path.length > 0 ? document.getIn(path, true) : undefined;
  return isNode(node) && node.range ? lines.linePos(node.range[0]).line : undefined;
}

function refuse(message: string): CofferError {
  return new CofferError('invalid_argument', message);
}
