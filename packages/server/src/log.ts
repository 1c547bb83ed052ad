import { type Logger, pino } from 'pino';

/**
 * The process's own log: JSON lines on standard error, of the level that `COFFER_LOG` names (`info` if it does not).
 * It never holds a secret's name or value, nor a token; who did what to which secret is in the audit log.
 */
export function createLog(env: Readonly<Record<string, string | undefined>>): Logger {
  const level = env.COFFER_LOG && env.COFFER_LOG in pino.levels.values ? env.COFFER_LOG : 'info';
  return pino({ level, base: { name: 'coffer' } }, pino.destination({ fd: 2, sync: true }));
}
