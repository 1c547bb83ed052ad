import type { AuditQuery } from '@coffer/client/admin';
import { entryInWords } from '../audit-entry.js';
import { type ConnectionOptions, withAdmin } from '../connection.js';
import { during, Failure } from '../failure.js';
import { parseDuration } from '../numbers.js';
import { note, print } from '../output.js';
import { jsonLine, quote } from '../quote.js';

interface ReadingOptions extends ConnectionOptions {
  /** Several where a command takes them. */
  readonly stateDir?: string | readonly string[];
  readonly json?: boolean;
}

export async function tail(options: ReadingOptions & { lines?: string; follow?: boolean }): Promise<void> {
  const { lines = '10', follow = false } = options;
  if (!/^\d{1,9}$/.test(lines)) {
    throw new Failure(`invalid number of lines ${quote(lines)}: write a whole number`);
  }
  const last = Number(lines);
  if (last === 0 && !follow) return;
  // Of none, only what comes from now on is wanted.
  await read(options, last === 0 ? { follow, last: 1 } : { follow, last }, last === 0 ? 1 : 0);
  if (follow && options.stateDir === undefined) {
    await note('coffer: the server ended it: it stops, or your right to read the log has ended');
  }
}

export async function query(
  options: ReadingOptions & {
    principal?: string;
    secret?: string;
    action?: string;
    application?: string;
    host?: string;
    since?: string;
    until?: string;
    own?: boolean;
    instance?: string;
  },
): Promise<void> {
  const { principal, secret, action, application, host } = options;
  const instance = whose(options);
  const since = options.since === undefined ? undefined : parseTime('--since', options.since);
  const until = options.until === undefined ? undefined : parseTime('--until', options.until);
  const passed = await read(options, {
    ...(principal !== undefined && { principal }),
    ...(secret !== undefined && { secret }),
    ...(action !== undefined && { action }),
    ...(application !== undefined && { application }),
    ...(host !== undefined && { host }),
    ...(since && { since }),
    ...(until && { until }),
    ...(instance !== undefined && { instance }),
  });
  if (passed === 0) await note('coffer: no entries match');
}

/** Undefined: the log of the server that is asked, or what the folders hold. */
function whose({ own, instance, stateDir }: { own?: boolean; instance?: string } & ReadingOptions) {
  if (instance === undefined) return own || stateDir !== undefined ? undefined : 'all';
  if (stateDir !== undefined) {
    throw new Failure('--instance is for what a server has copies of: name the state folders that you want');
  }
  if (/^[0-9a-f]{16}(-[1-9]\d{0,3})?$/.test(instance)) return instance;
  throw new Failure(
    `invalid --instance ${quote(instance)}: write its 16 digits, as "coffer audit verify" shows them`,
  );
}

/** What the asked server has itself it reads from its disk. */
export const OF_ALL = { unavailable: '; with --own this instance’s own log, which needs no NATS' };

/** Prints what is wanted but the first lines, from a server or from the files. Tells how many were wanted. */
async function read(options: ReadingOptions, wanted: AuditQuery, skipped = 0): Promise<number> {
  const { stateDir, json } = options;
  const show = json ? jsonLine : entryInWords;
  let passed = 0;
  const printAll = async (lines: AsyncIterable<string>) => {
    for await (const line of lines) if (passed++ >= skipped) await print(show(line));
  };
  if (stateDir === undefined) {
    await withAdmin(options, (admin) =>
      during('failed to read the audit log', printAll(admin.audit(wanted)), OF_ALL),
    );
  } else {
    await printAll(linesIn(stateDir, wanted));
  }
  return passed;
}

async function* linesIn(stateDir: string | readonly string[], wanted: AuditQuery): AsyncGenerator<string> {
  const { readAuditLog, readAuditLogs } = await import('@coffer/server');
  const pieces =
    typeof stateDir === 'string' ? readAuditLog(stateDir, wanted) : readAuditLogs(stateDir, wanted);
  for await (const bytes of pieces) {
    const lines = bytes.toString().split('\n');
    for (const line of lines) if (line !== '') yield line;
  }
}

/** RFC 3339, a day, or so long ago. */
function parseTime(option: string, text: string): Date {
  if (/^\d+[smhdw]$/.test(text)) return new Date(Date.now() - parseDuration(text) * 1000);
  const time = /^\d{4}-\d\d-\d\d(T\S+(Z|[+-]\d\d:\d\d))?$/i.test(text)
    ? new Date(text)
    : new Date(Number.NaN);
  if (!Number.isNaN(time.getTime())) return time;
  throw new Failure(
    `invalid ${option} ${quote(text)}: write a time such as 2026-11-22T12:00:00Z, a day such as 2026-11-22, or so long ago, such as 2h or 7d`,
  );
}
