import { CofferError } from '@coffer/engine';
import type { Logger } from 'pino';
import { problemOf } from '../refusal.js';
import type { Reply } from './reply.js';

/** Routes of our own; setec's clients look for text. */
const JSON_PATHS: ReadonlySet<string> = new Set(['/api/get-many', '/api/watch', '/api/whoami', '/readyz']);

/** Every error of every route ends here. */
export function refuse(reply: Reply, request: string, path: string, error: unknown, log: Logger): void {
  const problem = problemOf(error);
  if (problem.status === 500 || problem.code === 'storage_full' || problem.code === 'in_doubt') {
    log.error(
      { request, code: problem.code, reason: reasonOf(error), at: framesOf(error) },
      'a request failed',
    );
  } else {
    log.debug({ request, status: problem.status, code: problem.code }, 'request refused');
  }
  const json = path.startsWith('/api/admin/') || JSON_PATHS.has(path);
  reply.problem(problem, json ? 'json' : 'text');
}

/** Our own sentences name no secret; of a damaged record they name the blinded key. */
const reasonOf = (error: unknown): string | undefined =>
  error instanceof CofferError ? error.message : undefined;

/** Where it happened; an unforeseen error's own words might quote what they stumbled over. */
export function framesOf(error: unknown): string[] {
  return stackOf(error)
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .map((line) => line.trim());
}

/** Without the message before it, of which any line may look like a place. */
function stackOf(error: unknown): string {
  try {
    if (!(error instanceof Error) || typeof error.stack !== 'string') return '';
    const { stack, message } = error;
    const at = message === '' ? -1 : stack.indexOf(message);
    return at < 0 ? stack : stack.slice(at + message.length);
  } catch {
    return '';
  }
}
