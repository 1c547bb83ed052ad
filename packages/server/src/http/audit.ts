import type { IncomingMessage } from 'node:http';
import type { Caller, Engine } from '@coffer/engine';
import { queryReader } from '../wire/request.js';
import { auditRequest, timeOf } from '../wire/schemas.js';
import type { Reply } from './reply.js';

interface AuditContext {
  readonly engine: Engine;
  readonly caller: Caller;
  readonly closing: AbortSignal;
  /** How often a sign of life is sent where there are no lines. A reader that takes nothing for four of them is ended. */
  readonly heartbeatMs: number;
}

/** `GET /api/admin/audit`: the log's exact lines, with `follow=1` without an end of its own. */
export async function answerAudit(
  incoming: IncomingMessage,
  reply: Reply,
  { engine, caller, closing, heartbeatMs }: AuditContext,
): Promise<void> {
  const { from, last, follow, since, until, ...rest } = readAuditRequest(incoming.url ?? '');
  const query = {
    ...rest,
    from: from === undefined ? undefined : Number(from),
    last: last === undefined ? undefined : Number(last),
    follow: follow === '1',
    since: since === undefined ? undefined : timeOf(since),
    until: until === undefined ? undefined : timeOf(until),
  };
  const lines = (signal: AbortSignal) => engine.audit(caller, query, { signal, heartbeatMs });
  await reply.stream('application/x-ndjson', lines, { closing, stallMs: 4 * heartbeatMs });
}

const readAuditRequest = queryReader(auditRequest, []);
