import type { SecretInfo } from '@coffer/client';
import { IdentityError, type KeyPair, kindOfPublicKey, open } from '@coffer/identity';
import { Failure } from '../../failure.js';
import { quote } from '../../quote.js';
import { someAtOnce } from '../attempts.js';
import { LAST_VERSION, type Source } from '../copy.js';
import type { LeftOut, Outcome } from '../outcome.js';
import type { NatsBucket } from './bucket.js';

/** What a bucket of secrets-nats-kv holds. */
export interface Listing {
  /** What can be copied. A version is the bucket's revision; the newest is what components get. */
  readonly secrets: readonly SecretInfo[];
  readonly leftOut: readonly LeftOut[];
  /** What should be copied, and cannot be. */
  readonly failed: readonly Outcome[];
}

/**
 * The secrets of wasmCloud's secrets-nats-kv: each entry of its bucket is a version, a box from its encryption xkey to itself.
 *
 * Source of the format: secrets-nats-kv 0.2.0, src/api.rs.
 */
export class SecretsNatsKv implements Source {
  readonly #bucket: NatsBucket;
  readonly #key: KeyPair;

  constructor(bucket: NatsBucket, encryptionKey: KeyPair) {
    this.#bucket = bucket;
    this.#key = encryptionKey;
  }

  /** Opens each box once, so that a dry run tells what does not open. @throws Failure, if none does: it is another seed */
  async list(keys: readonly string[]): Promise<Listing> {
    const looked = await someAtOnce(keys, (key) => this.#look(key));
    if (looked.some(({ closed }) => closed.length > 0) && looked.every(({ opened }) => opened.length === 0)) {
      throw new Failure(
        'nothing in the bucket opens with this seed: it takes that of the encryption key, ENCRYPTION_XKEY_SEED of "secrets-nats-kv run"',
      );
    }
    return {
      secrets: looked.flatMap((each) => (problemOf(each) === undefined ? secretsIn(each) : [])),
      leftOut: looked.flatMap(leftOutOf),
      failed: looked.flatMap((each) => {
        const detail = problemOf(each);
        return detail === undefined ? [] : { name: each.name, outcome: 'failed', detail };
      }),
    };
  }

  async values(name: string, versions: readonly number[]): Promise<readonly Uint8Array[]> {
    const values: Uint8Array[] = [];
    try {
      for (const version of versions) {
        const box = (await this.#bucket.entry(name, version))?.value;
        const value = box && this.#opened(box);
        if (value === undefined) throw new Failure(`version ${version} of ${quote(name)} is no more there`);
        values.push(value);
      }
      return values;
    } catch (error) {
      for (const value of values) value.fill(0);
      throw error;
    }
  }

  async #look(name: string): Promise<Looked> {
    const looked = { name, opened: [] as number[], closed: [] as number[], newest: 0, deleted: false };
    for await (const { revision, value: box } of this.#bucket.history(name)) {
      looked.newest = revision;
      looked.deleted = box === undefined;
      if (box === undefined) continue;
      const value = this.#opened(box);
      (value === undefined ? looked.closed : looked.opened).push(revision);
      value?.fill(0);
    }
    return looked;
  }

  #opened(box: Uint8Array): Uint8Array | undefined {
    try {
      return open(box, this.#key, this.#key.publicKey);
    } catch (error) {
      if (error instanceof IdentityError) return undefined;
      throw error;
    }
  }
}

interface Looked {
  readonly name: string;
  /** Revisions whose boxes open, ascending. */
  readonly opened: readonly number[];
  /** And those that do not. */
  readonly closed: readonly number[];
  readonly newest: number;
  /** The newest entry is a mark that says so. */
  readonly deleted: boolean;
}

const secretsIn = ({ name, opened, newest, deleted }: Looked): SecretInfo[] =>
  opened.length === 0 || deleted ? [] : [{ name, versions: opened, activeVersion: newest }];

function problemOf({ closed, newest, deleted }: Looked): string | undefined {
  if (deleted) return undefined;
  if (closed.includes(newest)) return `version ${newest} does not open with this seed: nothing was changed`;
  return newest > LAST_VERSION
    ? `version ${newest} is above ${LAST_VERSION}, the last number there is`
    : undefined;
}

function leftOutOf({ name, closed, newest, deleted }: Looked): LeftOut[] {
  if (deleted) return [{ name, detail: 'it was deleted there' }];
  if (closed.length === 0 || closed.includes(newest)) return [];
  const which = `${closed.length === 1 ? 'version' : 'versions'} ${closed.join(', ')}`;
  return [{ name, detail: `${which} ${closed.length === 1 ? 'does' : 'do'} not open with this seed` }];
}

/** Which secrets a component or provider gets. */
export interface Mapping {
  readonly entity: string;
  readonly kind: 'component' | 'provider';
  readonly names: readonly string[];
}

/** The mappings in secrets-nats-kv's other bucket: entity key → JSON array of names of secrets. */
export async function mappingsIn(
  bucket: NatsBucket,
): Promise<{ readonly mappings: readonly Mapping[]; readonly failed: readonly Outcome[] }> {
  const mappings: Mapping[] = [];
  const failed: Outcome[] = [];
  const entities = (await bucket.keys()) ?? [];
  const entries = await someAtOnce(entities, async (entity) => {
    let newest: Uint8Array | undefined;
    for await (const { value } of bucket.history(entity)) newest = value;
    return { entity, newest };
  });
  for (const { entity, newest } of entries) {
    if (newest === undefined) continue;
    const read = mappingOf(entity, newest);
    if (typeof read === 'string') failed.push({ name: entity, outcome: 'failed', detail: read });
    else mappings.push(read);
  }
  return { mappings, failed };
}

/** The mapping, or what is wrong with it. */
function mappingOf(entity: string, json: Uint8Array): Mapping | string {
  const kind = kindOfPublicKey(entity);
  if (kind !== 'component' && kind !== 'provider') {
    return 'this is the key of no component (M…) and no provider (V…)';
  }
  const names = namesIn(json);
  if (names === undefined) return 'its mapping is no list of names';
  const odd = names.find((name) => name === '' || name.includes('*') || Buffer.byteLength(name) > NAME_BYTES);
  if (odd === undefined) return { entity, kind, names };
  return odd.includes('*')
    ? `it is mapped to ${quote(odd)}, and here a * would stand for any characters: map it to each secret by its name`
    : `it is mapped to ${quote(odd.slice(0, 40))}, which no secret can be called`;
}

/** The longest pattern of a grant. */
const NAME_BYTES = 1_024;

function namesIn(json: Uint8Array): string[] | undefined {
  try {
    const names: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
    return Array.isArray(names) && names.every((name) => typeof name === 'string') ? names : undefined;
  } catch {
    return undefined;
  }
}
