import { type Logger, pino } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * The process's own log: JSON lines on standard error, of this level or a graver one. It never holds a secret's name or value,
 * nor a token; who did what to which secret is in the audit log.
 */
export function createLog(level: LogLevel = 'info'): Logger {
  return pino({ level, base: { name: 'coffer' } }, pino.destination({ fd: 2, sync: true }));
}
