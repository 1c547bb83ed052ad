import { randomFillSync } from 'node:crypto';

import type { Caller } from '../caller.js';

/**
 * One line of the audit log: a JSON object with setec's field names (`id`, `time`, `principal`, `action`, `authorized`,
 * `secret`, `secretVersion`) and these more:
 *
 * - `seq`: position in the log, 1, 2, 3, …; `prev`: SHA-256 in hex of the exact bytes of the line before, without
 *   its newline (64 zeros before the first);
 * - `phase`: a change is written twice, as `intent` before it is made and as `outcome` before it is acknowledged; the
 *   outcome names the intent's `seq` in `intent`;
 * - `operation`: the operation id of a change, the caller's own or one made for it;
 * - `error`: the code, when an allowed request had no effect; `recovered`: an outcome found after a crash.
 *
 * Checkpoints (`action: "checkpoint"`) are signed by the server, see `checkpointMessage`.
 */
export interface AuditEntry {
  readonly caller: Caller;
  readonly action: AuditAction;
  readonly authorized: boolean;
  readonly secret?: string | undefined;
  /** Only a version that the request stated. */
  readonly secretVersion?: number | undefined;
  readonly phase?: 'intent' | 'outcome' | undefined;
  readonly operation?: string | undefined;
  /** `seq` of the intent that this outcome closes. */
  readonly intent?: number | undefined;
  readonly error?: string | undefined;
  /** What an administrative act was about: a token's id, a number of grants. */
  readonly target?: string | undefined;
}

export type AuditAction =
  | 'get'
  | 'info'
  | 'put'
  | 'create-version'
  | 'activate'
  | 'delete'
  | 'create-token'
  | 'list-tokens'
  | 'revoke-token'
  | 'show-policy'
  | 'apply-policy';

/** The fields that follow `id`, `time`, `seq` and `prev`, as JSON without the opening brace. */
export function encodeEntry(entry: AuditEntry): string {
  const { caller, action, authorized, secret, secretVersion, phase, operation, intent, error, target } =
    entry;
  let text = `"principal":${encodeCaller(caller)},"action":"${action}","authorized":${authorized}`;
  if (secret !== undefined) text += `,"secret":${JSON.stringify(secret)}`;
  if (secretVersion !== undefined) text += `,"secretVersion":${secretVersion}`;
  if (phase !== undefined) text += `,"phase":"${phase}"`;
  if (operation !== undefined) text += `,"operation":${JSON.stringify(operation)}`;
  if (intent !== undefined) text += `,"intent":${intent}`;
  if (error !== undefined) text += `,"error":"${error}"`;
  if (target !== undefined) text += `,"target":${JSON.stringify(target)}`;
  return `${text}}`;
}

/** `ip` and `user` (or `tags`) are setec's; `id` and `kind` say who it was beyond names. */
function encodeCaller({ principals: [self, ...others], address }: Caller): string {
  const ip = address === 'unix' ? undefined : address;
  return JSON.stringify({
    id: self.id,
    kind: self.kind,
    user: self.name ?? self.id,
    ...(others.length > 0 && { also: others.map(({ id }) => id) }),
    ...(ip !== undefined && { ip }),
  });
}

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
