import { readFileSync } from 'node:fs';
import { CofferError } from '@coffer/engine';
import { type Document, isNode, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { describeIssue } from '../describe.js';
import { LOG_LEVELS } from '../log.js';
import { backendSchema } from './backends.js';
import { CONSISTENCY, isConsistency } from './consistency.js';
import { inPlainWords } from './plain-words.js';

const bytes = z.int('must be a whole number of bytes').min(1);
/** 0: without end. */
const rate = z.number().min(0).max(1_000_000);
const seconds = z.number().positive().max(86_400);
const days = z.number().positive().max(36_600);
/** Some lines at least; each file of the audit log costs a few syncs. */
const MIN_SEGMENT_BYTES = 4_096;
/** The values of a store's first secrets fit, whatever they are. */
const MIN_BUCKET_BYTES = 16 * 1024 * 1024;

const retentionRule = z
  .strictObject({
    secrets: z.array(z.string().min(1)).min(1),
    keepVersions: z.int().min(1).optional(),
    keepDays: days.optional(),
  })
  .refine(
    ({ keepVersions, keepDays }) => keepVersions !== undefined || keepDays !== undefined,
    'needs keepVersions or keepDays',
  );

const path = z.string().min(1);

const resolver = z
  .strictObject({
    folder: path.optional(),
    store: path.optional(),
    nats: z
      .strictObject({
        servers: z.array(z.string().min(1)).min(1),
        creds: path.optional(),
        ca: path.optional(),
      })
      .optional(),
  })
  .refine(
    (stated) => Object.values(stated).filter((one) => one !== undefined).length === 1,
    'needs exactly one of folder, store and nats',
  );

const trust = z.strictObject({
  operators: z.array(path).min(1).optional(),
  accounts: z.array(z.string()).min(1).optional(),
  resolver: resolver.optional(),
  audiences: z.array(z.string()).min(1).optional(),
  clockSkewSeconds: z.number().min(0).max(300).optional(),
  maxAgeSeconds: seconds.optional(),
});

const nats = z.strictObject({
  servers: z.array(z.string().min(1)).min(1),
  creds: path.optional(),
  nkey: path.optional(),
  tls: z.strictObject({ ca: path.optional(), cert: path.optional(), key: path.optional() }).optional(),
  allowOpen: z.boolean().optional(),
});

const keys = z.array(z.string()).min(1);

const wasmcloud = z.strictObject({
  serve: z.boolean().optional(),
  name: z.string().optional(),
  prefix: z.string().optional(),
  queueGroup: z.string().optional(),
  trust: z.enum(['lineage', 'self-issued']).optional(),
  hosts: z.strictObject({ keys: keys.optional(), clusters: keys.optional() }).optional(),
  mappingAccount: z.string().optional(),
  allowUnauthenticatedAdmin: z.boolean().optional(),
  unsignedAdmin: z.enum(['permitted', 'refused']).optional(),
  maxInFlight: z.int().min(1).max(65_536).optional(),
});

const tags = z.array(z.string().min(1)).min(1);

const bucketBytes = z
  .int('must be a whole number of bytes')
  .min(MIN_BUCKET_BYTES, `must be at least ${MIN_BUCKET_BYTES} bytes (16 MiB)`);

const storage = z.strictObject({
  kind: z.enum(['embedded', 'jetstream'], 'must be embedded or jetstream').optional(),
  quotaBytes: bytes.optional(),
  minFreeBytes: z.int().min(0).exactOptional(),
  servers: z
    .array(z.string().min(1, 'must not be empty'))
    .min(1, 'must name at least one server, such as ["tls://nats.example.com"]')
    .optional(),
  creds: path.optional(),
  nkey: path.optional(),
  tls: z.strictObject({ ca: path.optional(), cert: path.optional(), key: path.optional() }).optional(),
  bucket: z
    .string()
    .regex(/^[\w-]{1,64}$/, 'must consist of at most 64 letters, digits, - and _')
    .optional(),
  replicas: z.union([z.literal(1), z.literal(3), z.literal(5)], 'must be 1, 3 or 5').optional(),
  maxBytes: bucketBytes.optional(),
  auditMaxBytes: bucketBytes.optional(),
  placement: tags.optional(),
  syncAlways: z.boolean().optional(),
  allowLazySync: z.boolean().optional(),
  systemCreds: path.optional(),
  consistency: z.string().refine(isConsistency, `must be ${CONSISTENCY}`).optional(),
  stale: z.enum(['refuse', 'allow'], 'must be refuse or allow').optional(),
  instanceName: z.string().min(1).max(256).optional(),
});

/** The configuration file. A key that is not here is an error. */
const fileSchema = z.strictObject({
  listen: z.string().optional(),
  stateDir: z.string().optional(),
  rootKey: z.string().optional(),
  publicUrl: z.string().optional(),
  insecureHttp: z.boolean().optional(),
  tls: z.strictObject({ cert: z.string().optional(), key: z.string().optional() }).optional(),
  logLevel: z.enum(LOG_LEVELS).optional(),
  limits: z
    .strictObject({
      nameBytes: bytes.optional(),
      valueBytes: bytes.optional(),
      bodyBytes: bytes.optional(),
      inFlightBytes: bytes.optional(),
      headerBytes: bytes.optional(),
      connections: z.int().min(1).optional(),
      connectionsPerAddress: z.int().min(1).optional(),
      watchers: z.int().min(1).optional(),
      watchersPerPrincipal: z.int().min(1).optional(),
      watchersPerAccount: z.int().min(1).optional(),
      principalRequestsPerSecond: rate.optional(),
      addressRequestsPerSecond: rate.optional(),
      failuresPerMinute: rate.optional(),
      headersSeconds: seconds.optional(),
      requestSeconds: seconds.optional(),
      idleSeconds: seconds.optional(),
    })
    .optional(),
  audit: z
    .strictObject({
      segmentBytes: z.int('must be a whole number of bytes').min(MIN_SEGMENT_BYTES).optional(),
      segmentDays: days.optional(),
      retentionDays: days.optional(),
    })
    .optional(),
  retention: z.array(retentionRule).optional(),
  trust: trust.optional(),
  nats: nats.optional(),
  wasmcloud: wasmcloud.optional(),
  backends: z.array(backendSchema).optional(),
  jwksListen: z.string().min(1).optional(),
  storage: storage.optional(),
});

export type FileConfig = z.output<typeof fileSchema>;

/** Settings of which not even a section need be whole. */
export type PartialSettings = {
  readonly [K in keyof FileConfig]?: FileConfig[K] extends readonly unknown[] | undefined
    ? FileConfig[K]
    : Partial<FileConfig[K]> | undefined;
};

/** A configuration file with all that is wrong in it. */
export interface ConfigFile {
  readonly path: string;
  /** What of it is right. */
  readonly settings: FileConfig;
  readonly problems: readonly CofferError[];
  /** The line on which the value of a setting begins, if the file has it. */
  lineOf(setting: readonly PropertyKey[]): number | undefined;
}

/** Reads a file whatever is wrong with it. */
export function openConfigFile(path: string): ConfigFile {
  const nothing = { path, settings: {}, lineOf: () => undefined };
  let text: string;
  try {
    text = readText(path);
  } catch (error) {
    return { ...nothing, problems: [error as CofferError] };
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ pos, message }) =>
      refuse(`${path}:${lines.linePos(pos[0]).line}: ${message}`),
    );
    return { ...nothing, problems };
  }
  const lineOf = (setting: readonly PropertyKey[]) => lineIn(document, lines, setting);
  const content: unknown = document.toJS() ?? {};
  const result = fileSchema.safeParse(content, { error: inPlainWords });
  if (result.success) return { path, settings: result.data, problems: [], lineOf };
  const problems = result.error.issues.map((issue) => {
    const line = lineOfNearest(lineOf, placeOf(issue));
    return refuse(`${path}${line === undefined ? '' : `:${line}`}: ${describeIssue(issue)}`);
  });
  return { path, settings: withoutWrong(content, result.error.issues), problems, lineOf };
}

/** What is wrong with settings that do not all stand in the file. */
export function problemsOf(settings: FileConfig): readonly CofferError[] {
  const { error } = fileSchema.safeParse(settings, { error: inPlainWords });
  return (error?.issues ?? []).map((issue) => refuse(describeIssue(issue)));
}

/** What is left when everything that is wrong is taken out. */
function withoutWrong(content: unknown, issues: readonly z.core.$ZodIssue[]): FileConfig {
  const rest = structuredClone(content);
  for (const issue of issues) {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    for (const key of keys) remove(rest, key === undefined ? issue.path : [...issue.path, key]);
  }
  const result = fileSchema.safeParse(rest);
  if (result.success) return result.data;
  // What must be there is wrong: the whole section goes.
  for (const { path } of issues) remove(rest, path.slice(0, 1));
  return fileSchema.safeParse(rest).data ?? {};
}

function remove(content: unknown, path: readonly PropertyKey[]): void {
  const last = path.at(-1);
  const parent = path
    .slice(0, -1)
    .reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)[key], content);
  if (last !== undefined && typeof parent === 'object' && parent !== null)
    Reflect.deleteProperty(parent, last);
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

function placeOf(issue: z.core.$ZodIssue): readonly PropertyKey[] {
  return issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path;
}

/** Of what is missing, that of the section which lacks it. */
function lineOfNearest(lineOf: ConfigFile['lineOf'], place: readonly PropertyKey[]): number | undefined {
  return place.length === 0 ? undefined : (lineOf(place) ?? lineOfNearest(lineOf, place.slice(0, -1)));
}

function lineIn(document: Document, lines: LineCounter, setting: readonly PropertyKey[]): number | undefined {
  const node = setting.length > 0 ? document.getIn(setting, true) : undefined;
  return isNode(node) && node.range ? lines.linePos(node.range[0]).line : undefined;
}

function refuse(message: string): CofferError {
  return new CofferError('invalid_argument', message);
}
