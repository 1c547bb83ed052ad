import { open } from 'node:fs/promises';

import { linesForwards } from '../audit/lines.js';
import { isSigned, parseEntry, type StoreSigning } from '../audit/verifier.js';
import { CofferError } from '../errors.js';

/** What an audit log tells of the time after a backup. */
export interface LogFindings {
  /** When each token was revoked, by id, as far back as the log goes. */
  readonly revoked: ReadonlyMap<string, Date>;
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
  readonly secret?: string;
  readonly target?: string;
}

/** What is looked for; most lines are neither. */
const LOOKED_FOR = /"action":"(revoke-token|apply-policy|delete|prune|checkpoint)"/;
const TOKEN_ID = /^[0-9a-f]{16}$/;

/**
 * Reads a log as far as it can be read: it may come from a disk that failed. A wrong line in it can take rights away, and
 * never give one. An intent without an outcome counts as done.
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
        if (LOOKED_FOR.test(line.toString('latin1'))) found.add(line);
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
  /** By the `seq` of their intent, or of their only line. */
  readonly #acts = new Map<number, LoggedAct>();
  #signed = false;

  constructor(since: number, options: StoreSigning) {
    this.#since = since;
    this.#options = options;
  }

  add(line: Buffer): void {
    const entry = parseEntry(line);
    if (!entry || !Number.isSafeInteger(entry.seq)) return;
    if (entry.action === 'checkpoint') {
      this.#signed ||= isSigned(entry, this.#options);
      return;
    }
    const act = entry as unknown as LoggedAct;
    if (act.authorized !== true) return;
    const { seq, intent = seq, error } = act;
    if (error === undefined) this.#acts.set(intent, act);
    else this.#acts.delete(intent);
  }

  finish(where: string): LogFindings {
    if (!this.#signed) {
      throw new CofferError(
        'invalid_argument',
        `no line of the audit log ${where} was signed by this store's server: it is another store's log, or none`,
      );
    }
    const acts = [...this.#acts.values()];
    const since = acts.filter(({ seq }) => seq > this.#since);
    const revocations = acts.filter(
      ({ action, target }) => action === 'revoke-token' && TOKEN_ID.test(target ?? ''),
    );
    return {
      revoked: new Map(revocations.map(({ target, time }) => [target as string, new Date(time)])),
      policyChanges: since.filter(isPolicyChange).length,
      deletions: new Set(
        since.flatMap(({ action, secret }) =>
          (action === 'delete' || action === 'prune') && secret ? [secret] : [],
        ),
      ),
    };
  }
}

const isPolicyChange = ({ action, phase }: LoggedAct): boolean =>
  action === 'apply-policy' && phase !== undefined;
