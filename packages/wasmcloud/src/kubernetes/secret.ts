import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import type { Secret, SecretQuery } from '../backend/options.js';
import { SecretsError } from '../protocol/errors.js';
import { refused, upstream } from './upstream.js';

/** `data` is looked through as it is, since a schema would make another object of it, in which `__proto__` is no entry. */
const secretSchema = z.object({
  kind: z.literal('Secret'),
  metadata: z.object({ resourceVersion: z.string().min(1) }),
  data: z.custom<Readonly<Record<string, string>>>(isEntries).nullish(),
});

function isEntries(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((entry) => typeof entry === 'string');
}

/** No error grows with the number of entries. */
const NAMES_SHOWN = 20;

/**
 * Reads an entry of a Secret from what the API server answered.
 *
 * @param body stays the caller's
 * @throws SecretsError `SecretNotFound` for an entry or a version that is not there, `Other` where an entry must be named,
 *   `UpstreamError` for what is no Secret
 */
export function secretOf(body: Buffer, { field, version }: SecretQuery): Secret {
  const { metadata, data } = parsed(body);
  // Kubernetes keeps the present version alone.
  if (version !== undefined && version !== metadata.resourceVersion) {
    throw refused(
      'SecretNotFound',
      'the Secret has another version by now, and Kubernetes keeps no older ones',
    );
  }
  const value = decoded(entryOf(data ?? {}, field));
  return { version: metadata.resourceVersion, kind: isUtf8(value) ? 'string' : 'binary', value };
}

function parsed(body: Buffer): z.output<typeof secretSchema> {
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    // Its words quote the text.
  }
  const read = secretSchema.safeParse(json);
  if (read.success) return read.data;
  throw upstream('what answers there is no Kubernetes API');
}

function entryOf(data: Readonly<Record<string, string>>, field: string | undefined): string {
  const names = Object.keys(data);
  const name = field ?? (names.length > 1 ? undefined : names[0]);
  if (name === undefined && names.length > 1) throw new SecretsError('Other', severalEntries(names));
  const entry = name !== undefined && Object.hasOwn(data, name) ? data[name] : undefined;
  if (entry === undefined) throw refused('SecretNotFound', 'the Secret is there, and has no such entry');
  return entry;
}

function severalEntries(names: readonly string[]): string {
  const shown = names.toSorted().slice(0, NAMES_SHOWN).join(', ');
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
  return `this Secret has several entries, and field says which: ${shown}${more}`;
}

/** Into bytes of their own: what is small would share its memory with others. */
function decoded(base64: string): Uint8Array {
  const value = Buffer.from(new ArrayBuffer(Buffer.byteLength(base64, 'base64')));
  return value.subarray(0, value.write(base64, 'base64'));
}
