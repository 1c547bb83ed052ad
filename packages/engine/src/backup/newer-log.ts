import { open } from 'node:fs/promises';

import { sha256 } from '../audit/hash.js';
import { linesForwards } from '../audit/lines.js';
import { type Entry, isSigned, parseEntry, type StoreSigning } from '../audit/verifier.js';
import { CofferError } from '../errors.js';
import type { IssuedRecord, Revocation } from '../policy-record.js';
import { issuedIn, newRevocationId, revokedIn } from '../revocation.js';
import { type RetiredTransitKey, transitKeyIn } from '../transit-keys.js';

/** What an audit log tells of the time after a backup. */
export interface LogFindings {
  /** When each token was revoked, by id, as far back as the log goes. */
  readonly revoked: ReadonlyMap<string, Date>;
  /** Tokens and keys that were revoked, whether that was lifted or not. */
  readonly revocations: readonly Revocation[];
  readonly issued: readonly IssuedRecord[];
  readonly transitKeysRetired: readonly RetiredTransitKey[];
  /** How often grants were changed behind the backup's last line. */
  readonly policyChanges: number;
  /** Secrets that were deleted, or lost versions, behind it. */
  readonly deletions: ReadonlySet<string>;
}

interface LoggedAct {
  readonly seq: number;
  readonly time: string;
  readonly action: string;
  readonly authorized: boolean;
  readonly phase?: string;
  readonly intent?: number;
  readonly error?: string;
  readonly recovered?: boolean;
  readonly secret?: string;
  readonly target?: string;
  readonly principal?: { readonly id?: unknown };
}

/** What is looked for; most lines are neither. */
const LOOKED_FOR =
  /"action":"(revoke-token|revoke|issued|retire-(transit|signing)-key|apply-policy|(add|remove)-mapping|delete|prune|checkpoint)"/;
const TOKEN_ID = /^[0-9a-f]{16}$/;

/**
 * Reads a log as far as it can be read: it may come from a disk that failed. What was asked for counts as done, by its
 * intent: an outcome that tells of an error may be forged, and a real one may stand for a change that became durable. Only
 * what a start after a crash found not to be made does not count, if a signature covers the line that says so. So a line that is
 * added or changed can take rights away; one that is gone, or spoilt, can give back the right that it took.
 *
 * @param since `seq` of the last line that the backup has
 * @throws CofferError `invalid_argument` if no checkpoint in it was signed by the store's server
 */
export async function readNewerLog(
  paths: readonly string[],
  since: number,
  options: StoreSigning,
): Promise<LogFindings> {
  const found = new Findings(since, options);
  for (const path of paths) {
    const file = await open(path, 'r');
    try {
      for await (const { line } of linesForwards(file)) {
        if (found.followsAll || LOOKED_FOR.test(line.toString('latin1'))) found.add(line);
      }
    } finally {
      await file.close();
    }
  }
  return found.finish(paths.join(', '));
}

class Findings {
  readonly #since: number;
  readonly #options: StoreSigning;
  /** By the `seq` of their intent, or of their only line. A forged line stands beside the others and hides none. */
  readonly #acts = new Map<number, LoggedAct[]>();
  readonly #unmade = new Unmade();
  #signed = false;

  constructor(since: number, options: StoreSigning) {
    this.#since = since;
    this.#options = options;
  }

  /** Whether the next line is needed whatever it says. */
  get followsAll(): boolean {
    return this.#unmade.waits;
  }

  add(line: Buffer): void {
    const entry = parseEntry(line);
    if (!entry || !Number.isSafeInteger(entry.seq)) return;
    this.#unmade.follow(entry, line);
    if (entry.action === 'checkpoint') {
      if (!isSigned(entry, this.#options)) return;
      this.#signed = true;
      for (const intent of this.#unmade.takeCovered()) this.#acts.delete(intent);
      return;
    }
    const act = entry as unknown as LoggedAct;
    const { seq, intent = seq, error } = act;
    if (act.authorized !== true || error !== undefined) return;
    this.#acts.set(intent, [...(this.#acts.get(intent) ?? []), act]);
  }

  finish(where: string): LogFindings {
    if (!this.#signed) {
      throw new CofferError(
        'invalid_argument',
        `no line of the audit log ${where} was signed by this store's server: it is another store's log, or none`,
      );
    }
    const acts = [...this.#acts.values()].flat();
    const since = acts.filter(({ seq }) => seq > this.#since);
    const revocations = acts.filter(
      ({ action, target }) => action === 'revoke-token' && TOKEN_ID.test(target ?? ''),
    );
    return {
      revocations: acts.flatMap(revocationOf),
      issued: acts.flatMap(issuedOf),
      transitKeysRetired: acts.flatMap(retiredOf),
      revoked: new Map(revocations.map(({ target, time }) => [target as string, timeOf(time)])),
      policyChanges: new Set(since.filter(isPolicyChange).map(({ seq, intent = seq }) => intent)).size,
      deletions: new Set(
        since.flatMap(({ action, secret }) =>
          (action === 'delete' || action === 'prune') && secret ? [secret] : [],
        ),
      ),
    };
  }
}

/** Intents that a start after a crash closed as not made, until a signed line behind them says that these lines are real. */
class Unmade {
  #intents: number[] = [];
  #last: { readonly seq: number; readonly hash: string } | undefined;

  get waits(): boolean {
    return this.#intents.length > 0;
  }

  /** The lines from the first such outcome on must be a chain. */
  follow(entry: Entry, line: Buffer): void {
    const { seq, prev, phase, intent } = entry;
    const { error, recovered } = entry as unknown as LoggedAct;
    if (this.#last && (seq !== this.#last.seq + 1 || prev !== this.#last.hash)) this.#intents = [];
    if (phase === 'outcome' && recovered === true && error === 'not_made' && intent !== undefined) {
      this.#intents.push(intent);
    }
    this.#last = this.waits ? { seq, hash: sha256(line) } : undefined;
  }

  /** At a line that is signed. */
  takeCovered(): readonly number[] {
    const covered = this.#intents;
    this.#intents = [];
    this.#last = undefined;
    return covered;
  }
}

function revocationOf({ action, target = '', time, principal }: LoggedAct): Revocation[] {
  const revoked = action === 'revoke' ? revokedIn(target) : undefined;
  if (!revoked) return [];
  const { id } = principal ?? {};
  const revokedBy = typeof id === 'string' ? id : 'unknown';
  return [{ id: newRevocationId(), ...revoked, revokedAt: timeOf(time), revokedBy }];
}

function issuedOf({ action, target = '' }: LoggedAct): IssuedRecord[] {
  const issued = action === 'issued' ? issuedIn(target) : undefined;
  return issued ? [issued] : [];
}

/** Older logs have the first for keys that sign, too. */
const RETIREMENTS = new Set(['retire-transit-key', 'retire-signing-key']);

function retiredOf({ action, target = '', time }: LoggedAct): RetiredTransitKey[] {
  const retired = RETIREMENTS.has(action) ? transitKeyIn(target) : undefined;
  return retired ? [{ ...retired, retiredAt: timeOf(time) }] : [];
}

/** A line that was changed may have any; that it took a right away counts. */
function timeOf(text: string): Date {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? new Date() : time;
}

const POLICY_CHANGES = new Set(['apply-policy', 'add-mapping', 'remove-mapping']);

const isPolicyChange = ({ action, phase }: LoggedAct): boolean =>
  POLICY_CHANGES.has(action) && phase !== undefined;
