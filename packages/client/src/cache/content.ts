import { CofferClientError } from '../errors.js';
import { decodeBase64, encodeBase64 } from '../secret/base64.js';
import { SecretBytes } from '../secret/secret-bytes.js';

const MAX_VERSION = 2 ** 32 - 1;

/** What a store keeps of one secret. */
export interface CachedSecret {
  /** The active version; absent where only versions by number are held. */
  secret?: CachedValue | undefined;
  /** Values of versions that were asked for by number. */
  versions: Map<number, SecretBytes>;
  /** When a program last asked for it, in seconds since 1970; 0 if that is not known. */
  lastAccess: number;
  /** When the server last confirmed it, in seconds since 1970. */
  checkedAt?: number | undefined;
}

export interface CachedValue {
  version: number;
  value: SecretBytes;
}

/**
 * The content of a cache, as setec's Go library writes and reads it:
 * `{"NAME":{"secret":{"Value":BASE64,"Version":NUMBER},"versions":{"NUMBER":BASE64},"lastAccess":"SECONDS","checkedAt":"SECONDS"}}`.
 * `checkedAt` is ours, and absent in theirs; `versions` is absent where there are none. (Source: setec's `client/setec/store.go`.)
 */
export function encodeCache(secrets: ReadonlyMap<string, CachedSecret>): Buffer {
  const entries = [...secrets].map(([name, { secret, versions, lastAccess, checkedAt }]) => [
    name,
    {
      secret: secret ? { Value: encodeBase64(secret.value), Version: secret.version } : null,
      versions:
        versions.size > 0
          ? Object.fromEntries([...versions].map(([number, value]) => [number, encodeBase64(value)]))
          : undefined,
      // Texts: a bare number makes setec discard the whole cache.
      lastAccess: `${Math.floor(lastAccess)}`,
      checkedAt: checkedAt === undefined ? undefined : `${Math.floor(checkedAt)}`,
    },
  ]);
  return Buffer.from(JSON.stringify(Object.fromEntries(entries)));
}

/**
 * Reads what {@link encodeCache} or setec's library wrote; nothing at all is an empty cache.
 *
 * @throws CofferClientError `bad_cache` if anything in it is not as it should be: then none of it is to be used
 */
export function decodeCache(content: Uint8Array): Map<string, CachedSecret> {
  const parsed = content.length === 0 ? [] : parse(content);
  const entries = parsed.map(([name, value]): [string, CachedSecret] => {
    const { version, value: bytes, versions, fields } = entryOf(name, value);
    const secret = version && bytes ? { version, value: bytes } : undefined;
    if (name === '' || (fields.get('secret') ? !secret : versions.size === 0)) throw malformed(name);
    return [
      name,
      {
        secret,
        versions,
        lastAccess: secondsOf(fields.get('lastaccess'), name) ?? 0,
        checkedAt: secondsOf(fields.get('checkedat'), name),
      },
    ];
  });
  return new Map(entries);
}

/**
 * Reads a file that a person wrote, or a cache: the same shape, where `TextValue` may stand for `Value`, and wins. Entries
 * without a name, a version or a value are left out.
 *
 * @throws CofferClientError `bad_cache` if something in it is not of its type
 */
export function decodeSecrets(
  content: Uint8Array,
): Map<string, CachedValue & Pick<CachedSecret, 'versions'>> {
  return new Map(
    parse(content).flatMap(([name, entry]) => {
      const { version, value: bytes, text, versions } = entryOf(name, entry);
      const value = text || bytes;
      return name && version && value?.length ? [[name, { version, value, versions }]] : [];
    }),
  );
}

function parse(content: Uint8Array): [string, unknown][] {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch {
    // The parser's own error quotes the text.
    throw malformed();
  }
  return entriesOf(json);
}

function entryOf(name: string, value: unknown) {
  const fields = fieldsOf(value, name);
  const secret = fieldsOf(fields.get('secret'), name);
  const text = secret.get('textvalue') ?? undefined;
  if (text !== undefined && typeof text !== 'string') throw malformed(name);
  return {
    fields,
    version: versionOf(secret.get('version') ?? 0, name),
    value: secret.has('value') ? bytesOf(secret.get('value'), name) : undefined,
    text: text && SecretBytes.copyOf(new TextEncoder().encode(text)),
    versions: new Map(
      entriesOf(fields.get('versions'), name).map(([number, bytes]) => [
        versionOf(/^\d+$/.test(number) && Number(number), name),
        bytesOf(bytes, name),
      ]),
    ),
  };
}

/** Go reads fields of any case, and takes `null` for what is not there. */
const fieldsOf = (value: unknown, name: string) =>
  new Map(entriesOf(value, name).map(([field, content]) => [field.toLowerCase(), content]));

function entriesOf(value: unknown, name?: string): [string, unknown][] {
  if (typeof (value ?? {}) !== 'object' || Array.isArray(value)) throw malformed(name);
  return Object.entries(value ?? {});
}

function versionOf(value: unknown, name: string): number {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > MAX_VERSION)
    throw malformed(name);
  return value as number;
}

function bytesOf(value: unknown, name: string): SecretBytes {
  // Go breaks no lines of base64 but reads broken ones.
  const bytes = decodeBase64(typeof value === 'string' ? value.replace(/[\r\n]/g, '') : (value ?? ''));
  if (!bytes) throw malformed(name);
  return bytes;
}

/** A number written as a text, which may be `null` or absent. */
function secondsOf(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string' || !/^-?\d{1,15}$/.test(value)) throw malformed(name);
  return Number(value);
}

/** Names the secret, never what stands there. */
const malformed = (name?: string) =>
  new CofferClientError(
    'bad_cache',
    name === undefined
      ? 'it is not JSON of secrets by name'
      : `its entry ${JSON.stringify(name)} is malformed`,
  );
