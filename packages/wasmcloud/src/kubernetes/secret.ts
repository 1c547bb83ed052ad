import { isUtf8 } from 'node:buffer';
import { membersIn, textOf } from '../backend/json-at.js';
import type { Secret, SecretQuery } from '../backend/options.js';
import { SecretsError } from '../protocol/errors.js';
import { decodeBase64 } from './base64.js';
import { refused, upstream } from './upstream.js';

/** No error grows with the number of entries. */
const NAMES_SHOWN = 20;

/**
 * Reads an entry of a Secret from what the API server answered. No entry becomes a string, which could not be wiped.
 *
 * @param body stays the caller's
 * @param namespace where it was asked for
 * @throws SecretsError `SecretNotFound` for an entry or a version that is not there, `Other` where an entry must be named,
 *   `UpstreamError` for what is no Secret, or another one: of a gateway that mixes up what it keeps
 */
export function secretOf(body: Uint8Array, { key, field, version }: SecretQuery, namespace: string): Secret {
  const { resourceVersion, entries, ...is } = parsed(body);
  if (is.name !== key || is.namespace !== namespace) {
    throw upstream('the answer is not the Secret that was asked for, but another one');
  }
  if (version !== undefined && version !== resourceVersion) {
    throw refused(
      'SecretNotFound',
      'the Secret has another version by now, and Kubernetes keeps no older ones',
    );
  }
  const value = decodeBase64(inside(entryOf(entries, field)));
  if (value === undefined) throw noSecret();
  return { version: resourceVersion, kind: isUtf8(value) ? 'string' : 'binary', value };
}

type Members = ReadonlyMap<string, Uint8Array>;

interface Parsed {
  readonly name: string | undefined;
  readonly namespace: string | undefined;
  readonly resourceVersion: string;
  readonly entries: Members;
}

function parsed(body: Uint8Array): Parsed {
  const members = membersIn(body);
  const metadata = membersIn(members?.get('metadata') ?? NOTHING);
  const resourceVersion = string(metadata?.get('resourceVersion'));
  const data = members?.get('data');
  const entries = data === undefined || isNull(data) ? new Map() : membersIn(data);
  if (string(members?.get('kind')) !== 'Secret' || !resourceVersion || entries === undefined)
    throw noSecret();
  const [name, namespace] = [string(metadata?.get('name')), string(metadata?.get('namespace'))];
  return { name, namespace, resourceVersion, entries };
}

const NOTHING = new Uint8Array();
const QUOTE = 0x22;

const isNull = (json: Uint8Array): boolean => json[0] === 0x6e; // as nothing else in JSON begins

/** Of what is no secret. */
const string = (json: Uint8Array | undefined): string | undefined =>
  json?.[0] === QUOTE ? Buffer.from(textOf(json)).toString('utf8') : undefined;

/** What stands between the quotes, where base64 has nothing to escape. */
function inside(json: Uint8Array): Uint8Array {
  if (json[0] !== QUOTE) throw noSecret();
  return json.subarray(1, -1);
}

function entryOf(entries: Members, field: string | undefined): Uint8Array {
  if (field === undefined && entries.size > 1) {
    throw new SecretsError('Other', severalEntries([...entries.keys()]));
  }
  const entry = field === undefined ? [...entries.values()][0] : entries.get(field);
  if (entry === undefined) throw refused('SecretNotFound', 'the Secret is there, and has no such entry');
  return entry;
}

function severalEntries(names: readonly string[]): string {
  const shown = names.toSorted().slice(0, NAMES_SHOWN).join(', ');
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
  return `this Secret has several entries, and field says which: ${shown}${more}`;
}

const noSecret = (): SecretsError => upstream('what answers there is no Kubernetes API');
