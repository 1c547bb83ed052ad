import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { type AuditVerdict, type KnownLine, verifyAuditLog } from '../src/index.js';
import { verifySignature } from './support.js';

/** A line of the log as `jq` would read it; its `id` has lost digits. */
export interface AuditLine {
  readonly seq: number;
  readonly prev: string;
  readonly time: string;
  readonly principal: Record<string, unknown>;
  readonly action: string;
  readonly authorized: boolean;
  readonly secret?: string;
  readonly secretVersion?: number;
  readonly phase?: string;
  readonly operation?: string;
  readonly intent?: number;
  readonly error?: string;
  readonly recovered?: boolean;
  readonly target?: string;
  readonly [field: string]: unknown;
}

export const auditPath = (stateDir: string): string => join(stateDir, 'audit', 'audit.log');

/** The log's lines without their newlines. */
export async function auditLines(stateDir: string): Promise<string[]> {
  const content = await readFile(auditPath(stateDir), 'utf8');
  return content.split('\n').slice(0, -1);
}

/** Every entry but the checkpoints. */
export async function auditEntries(stateDir: string): Promise<AuditLine[]> {
  const entries = (await auditLines(stateDir)).map((line) => JSON.parse(line) as AuditLine);
  return entries.filter(({ action }) => action !== 'checkpoint');
}

/** Verifies a log, all of its files, whose checkpoints may be signed by `serverKey` only. */
export const verifyLog = (
  path: string,
  { storeId, serverKey }: { storeId: string; serverKey: string },
  known: readonly KnownLine[] = [],
): Promise<AuditVerdict> =>
  verifyAuditLog(dirname(path), { storeId, key: serverKey, known, verify: verifySignature });
