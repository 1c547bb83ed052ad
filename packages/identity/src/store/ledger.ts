import { join } from 'node:path';
import { type KeyKind, parsePublicKey } from '../keys/nkey.js';
import { appendLine, readText } from './files.js';

/**
 * A list of every key that coffer made or gave a task to, which nsc does not keep: JSON lines in a hidden folder beside the
 * keys, where nsc does not look. It holds no secret. A key may stand there several times: the later line adds to the earlier.
 */
export interface KeyRecord {
  readonly key: string;
  readonly kind: KeyKind;
  /** When the key was made or, if coffer did not make it, first seen. RFC 3339. */
  readonly at: string;
  /** `identity`: it is the operator, account or user itself. */
  readonly use?: KeyUse | undefined;
  readonly operator?: string | undefined;
  readonly account?: string | undefined;
  readonly user?: string | undefined;
  /** The role of a scoped signing key. */
  readonly role?: string | undefined;
  /** When it was taken out of its task. RFC 3339. */
  readonly retired?: string | undefined;
}

export type KeyUse = 'identity' | 'signing-key';
export type KeyNote = Omit<Partial<KeyRecord>, 'kind' | 'at'> & { readonly key: string };

export class KeyLedger {
  readonly #path: string;

  /** @param keysFolder the folder in which `keys` and `creds` are */
  constructor(keysFolder: string) {
    this.#path = join(keysFolder, '.coffer', 'keys.jsonl');
  }

  note(note: KeyNote, now: Date = new Date()): void {
    const { kind } = parsePublicKey(note.key);
    const { key, ...rest } = note;
    appendLine(this.#path, JSON.stringify({ key, kind, at: now.toISOString(), ...rest }));
  }

  /** What is known of each key, oldest first. A line that a crash cut short is passed over. */
  records(): KeyRecord[] {
    const records = new Map<string, KeyRecord>();
    for (const line of (readText(this.#path) ?? '').split('\n')) {
      const found = parseLine(line);
      if (found === undefined) continue;
      const before = records.get(found.key);
      records.set(found.key, before === undefined ? found : { ...before, ...found, at: before.at });
    }
    return [...records.values()];
  }

  record(key: string): KeyRecord | undefined {
    return this.records().find((record) => record.key === key);
  }
}

function parseLine(line: string): KeyRecord | undefined {
  try {
    const found = JSON.parse(line) as KeyRecord;
    parsePublicKey(found.key);
    return found;
  } catch {
    return undefined;
  }
}
