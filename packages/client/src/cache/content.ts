import { CofferClientError } from '../errors.js';
import { decodeBase64, encodeBase64 } from '../secret/base64.js';
import { SecretBytes } from '../secret/secret-bytes.js';

/** What a store keeps of one secret. */
export interface CachedSecret {
  /** The active version; absent where only versions by number are held. */
  secret?: CachedValue | undefined;
  /** Values of versions that were asked for by number. */
  versions: Map<number, SecretBytes>;
  /** When a program last asked for it, in whole seconds since 1970; 0 if that is not known. */
  lastAccess: number;
  /** When the server last confirmed it, in whole seconds since 1970. */
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
  const values = ({ versions }: CachedSecret) =>
    Object.fromEntries([...versions].map(([number, value]) => [number, encodeBase64(value)]));
  const entries = [...secrets].map(([name, cached]) => {
    const { secret, versions, lastAccess, checkedAt } = cached;
    // Times are texts: a bare number makes setec discard the whole cache.
    const entry = {
      secret: secret ? { Value: encodeBase64(secret.value), Version: secret.version } : null,
      versions: versions.size > 0 ? values(cached) : undefined,
      lastAccess: `${lastAccess}`,
      checkedAt: checkedAt?.toString(),
    };
    return [name, entry];
  });
  return Buffer.from(JSON.stringify(Object.fromEntries(entries)));
}

/**
 * Reads what {@link encodeCache} or setec's library wrote; nothing at all is an empty cache.
 *
 * @param isFile whether it is a file of secrets for a {@link FileClient}, which a person may have written: there, `TextValue` may stand
 *   for `Value`, and wins, and entries without a name, a version or a value are left out
 * @throws CofferClientError `bad_cache`, or `bad_file`, if anything in it is not as it should be: then none of it is to be used
 */
export function decodeCache(content: Uint8Array, isFile = false): Map<string, CachedSecret> {
  const secrets = new Map<string, CachedSecret>();
  if (content.length === 0 && !isFile) return secrets;
  /** All of them, wherever they belong. */
  const decoded: SecretBytes[] = [];
  const bytesOf = (value: unknown) => {
    const bytes = bytesIn(value);
    decoded.push(bytes);
    return bytes;
  };
  let at = '';
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
    for (const [name, entry] of entriesOf(json)) {
      at = ` in its entry ${JSON.stringify(name)}`;
      const fields = fieldsOf(entry);
      const secret = cachedValue(fieldsOf(fields.get('secret')), isFile, bytesOf);
      const versions = new Map(
        entriesOf(fields.get('versions')).map(([number, value]) => [
          versionOf(/^\d+$/.test(number) && Number(number)),
          bytesOf(value),
        ]),
      );
      if (isFile && !(name && secret?.value.length)) continue;
      must(name && (fields.get('secret') ? secret : versions.size > 0));
      const lastAccess = isFile ? 0 : (secondsOf(fields.get('lastaccess')) ?? 0);
      secrets.set(name, { secret, versions, lastAccess, checkedAt: secondsOf(fields.get('checkedat')) });
    }
  } catch {
    for (const bytes of decoded) bytes.wipe();
    // The parser's own error quotes the text.
    throw new CofferClientError(isFile ? 'bad_file' : 'bad_cache', `it is malformed${at}`);
  }
  return secrets;
}

function cachedValue(
  secret: Fields,
  isFile: boolean,
  bytesOf: (value: unknown) => SecretBytes,
): CachedValue | undefined {
  const version = versionOf(secret.get('version') ?? 0);
  const text = secret.get('textvalue') ?? '';
  must(typeof text === 'string');
  const value = secret.has('value') ? bytesOf(secret.get('value')) : undefined;
  const wins = isFile && text ? SecretBytes.copyOf(new TextEncoder().encode(text)) : value;
  return version && wins ? { version, value: wins } : undefined;
}

type Fields = ReadonlyMap<string, unknown>;

/** Go reads fields of any case, and takes `null` for what is not there. */
const fieldsOf = (value: unknown): Fields =>
  new Map(entriesOf(value).map(([field, content]) => [field.toLowerCase(), content]));

function entriesOf(value: unknown): [string, unknown][] {
  const object = value ?? {};
  must(typeof object === 'object' && !Array.isArray(object));
  return Object.entries(object);
}

function versionOf(value: unknown): number {
  must(typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32);
  return value;
}

function bytesIn(value: unknown): SecretBytes {
  // Go breaks no lines of base64 but reads broken ones.
  const bytes = decodeBase64(typeof value === 'string' ? value.replace(/[\r\n]/g, '') : (value ?? ''));
  must(bytes);
  return bytes;
}

/** A number written as a text, which may be `null` or absent. */
function secondsOf(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  must(typeof value === 'string' && /^-?\d{1,15}$/.test(value));
  return Number(value);
}

function must(condition: unknown): asserts condition {
  if (!condition) throw new Error();
}
