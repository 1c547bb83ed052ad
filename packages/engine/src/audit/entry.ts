import { randomFillSync } from 'node:crypto';

import type { Caller, Conditions, Principal } from '../caller.js';

/**
 * What was asked, and by whom.
 *
 * One line of the audit log is a JSON object with setec's field names (`id`, `time`, `principal`, `action`, `authorized`,
 * `secret`, `secretVersion`) and these more:
 *
 * - `seq`: position in the log, 1, 2, 3, …; `prev`: SHA-256 in hex of the exact bytes of the line before, without
 *   its newline (64 zeros before the first);
 * - `instance`: behind `prev`, where several instances share a store: whose log it is;
 * - `phase`: a change is written twice, as `intent` before it is made and as `outcome` before it is acknowledged; the
 *   outcome names the intent's `seq` in `intent`;
 * - `operation`: the operation id of a change, the caller's own or one made for it;
 * - `error`: the code, when an allowed request had no effect; `recovered`: an outcome found after a crash;
 * - `application` and `host`, in `principal`: what the request claimed of itself, shortened if it is long;
 * - `version` and `field`: of a secret that lies elsewhere, which one was asked for, shortened as well; `upstream`: where it was to be
 *   read, and as whom;
 * - `revision`: in the outcome of a change that was made, the store's sequence, which by then was durable.
 *
 * Checkpoints (`action: "checkpoint"`) are signed by the server, see `checkpointMessage`.
 */
export interface AuditSubject {
  readonly caller: Caller;
  readonly action: AuditAction;
  readonly secret?: string | undefined;
  /** Only a version that the request stated. */
  readonly secretVersion?: number | undefined;
  /** Of a secret that lies elsewhere, whose versions are no numbers. */
  readonly reference?: {
    readonly version?: string | undefined;
    readonly field?: string | undefined;
    readonly upstream?: Readonly<Record<string, string>> | undefined;
  };
  readonly operation?: string | undefined;
  /** What an administrative act was about: a token's id, a number of grants. */
  readonly target?: string | undefined;
}

/** The rest of an entry: what became of it. */
export interface AuditDecision {
  readonly authorized: boolean;
  readonly phase?: 'intent' | 'outcome' | undefined;
  /** `seq` of the intent that this outcome closes. */
  readonly intent?: number | undefined;
  readonly error?: string | undefined;
  /** The store's sequence after the change. */
  readonly revision?: number | undefined;
}

/** What callers and the server do, in the words of the log. */
const SUBJECT_ACTIONS = [
  'get',
  'get-foreign',
  'info',
  'put',
  'put-and-activate',
  'create-version',
  'activate',
  'delete',
  'create-token',
  'list-tokens',
  'revoke-token',
  'show-policy',
  'apply-policy',
  'add-mapping',
  'remove-mapping',
  'list-mappings',
  'prune',
  'watch',
  'metrics',
  'refused',
  'list-keys',
  'rotate-data-key',
  'destroy-data-key',
  'rotate-root-key',
  'read-audit',
  'backup',
  'restore',
  'upgrade',
  'migrate',
  'revoke',
  'list-revocations',
  'lift-revocation',
  'issued',
  'add-transit-key',
  'retire-transit-key',
  'list-transit-keys',
  'add-signing-key',
  'retire-signing-key',
  'list-signing-keys',
  'storage-status',
  'storage-replicas',
  'storage-forget',
  'storage-heal',
  'storage-set-aside',
] as const;

export type AuditAction = (typeof SUBJECT_ACTIONS)[number];

/** Everything that `action` can be in a line: what was done, and what the log writes on its own. */
export const AUDIT_ACTIONS = [
  ...SUBJECT_ACTIONS,
  'checkpoint',
  'retire',
  'set-aside-torn-line',
  'accept-rollback',
  'witness',
  'copies-lost',
  'retire-copies',
] as const;

/** Writes entries as JSON. Remembers what is the same in all entries of a principal. */
export class EntryEncoder {
  readonly #principals = new WeakMap<Principal, string>();

  /** The fields that follow `id`, `time`, `seq` and `prev`, without the opening brace. */
  encode(subject: AuditSubject, verdict: AuditDecision): string {
    const { caller, action, secret, secretVersion, reference, operation, target } = subject;
    const { authorized, phase, intent, error, revision } = verdict;
    let text = `"principal":${this.#encodeCaller(caller)},"action":"${action}","authorized":${authorized}`;
    if (secret !== undefined) text += `,"secret":${quote(secret)}`;
    if (secretVersion !== undefined) text += `,"secretVersion":${secretVersion}`;
    if (reference?.version !== undefined) text += `,"version":${quote(shortened(reference.version))}`;
    if (reference?.field !== undefined) text += `,"field":${quote(shortened(reference.field))}`;
    if (reference?.upstream !== undefined) text += `,"upstream":${encodeTexts(reference.upstream)}`;
    if (phase !== undefined) text += `,"phase":"${phase}"`;
    if (operation !== undefined) text += `,"operation":${JSON.stringify(operation)}`;
    if (intent !== undefined) text += `,"intent":${intent}`;
    if (error !== undefined) text += `,"error":"${error}"`;
    if (revision !== undefined) text += `,"revision":${revision}`;
    if (target !== undefined) text += `,"target":${quote(target)}`;
    return `${text}}`;
  }

  /** `ip` and `user` are setec's; `id` and `kind` say who it was beyond names. */
  #encodeCaller({ principals, address, conditions }: Caller): string {
    const self = principals[0];
    let text = this.#principals.get(self);
    if (text === undefined) {
      const { id, kind, name = id } = self;
      text = JSON.stringify({ id, kind, user: name }).slice(0, -1);
      this.#principals.set(self, text);
    }
    if (principals.length > 1) text += `,"also":${JSON.stringify(principals.slice(1).map(({ id }) => id))}`;
    if (conditions) text += encodeConditions(conditions);
    return address === 'unix' ? `${text}}` : `${text},"ip":${quote(address)}}`;
  }
}

/** What strangers claim of themselves is not to fill the disk. */
const CLAIM_LENGTH = 256;

function encodeConditions({ application, host }: Conditions): string {
  let text = '';
  if (application !== undefined) text += `,"application":${quote(shortened(application))}`;
  if (host !== undefined) text += `,"host":${quote(shortened(host))}`;
  return text;
}

const MEMBERS = 8;

function encodeTexts(texts: Readonly<Record<string, string>>): string {
  const members = Object.entries(texts).slice(0, MEMBERS);
  return `{${members.map(([name, text]) => `${quote(shortened(name))}:${quote(shortened(text))}`).join(',')}}`;
}

const shortened = (text: string): string =>
  text.length > CLAIM_LENGTH ? `${text.slice(0, CLAIM_LENGTH)}…` : text;

/** Most names need no escape, and to see that is cheaper than JSON.stringify. */
const PLAIN = /^[\w/.:@-]*$/;
const quote = (text: string): string => (PLAIN.test(text) ? `"${text}"` : escaped(text));

/** Nothing in a log steers the terminal that shows it: C1 controls and marks of writing direction are escaped too. */
const escaped = (text: string): string =>
  JSON.stringify(text).replace(
    /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

const ID_POOL_BYTES = 8 * 512;

/** Random unsigned 64-bit numbers in decimal; setec's ids. They exceed what a JavaScript number holds exactly. */
export class EntryIds {
  readonly #pool = new BigUint64Array(ID_POOL_BYTES / 8);
  #next = this.#pool.length;

  next(): string {
    if (this.#next === this.#pool.length) {
      randomFillSync(this.#pool);
      this.#next = 0;
    }
    return String(this.#pool[this.#next++]);
  }
}
