import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as engine from '@coffer/engine';
import {
  AUDIT_FOLDER,
  type AuditFilter,
  type AuditVerdict,
  AuditVerifier,
  type AuditWitness,
  CofferError,
  type KnownLine,
  parseRootKey,
} from '@coffer/engine';
import { type KeyPair, keyPairFromBytes, verify } from '@coffer/identity';

/** How often the end of a log is looked at whose server is another process. */
const LOOK_MS = 250;

/** What to trust in a log; what is left out is taken from its first signature. */
export interface AuditTrust {
  readonly storeId?: string | undefined;
  /** The server's public nkey. */
  readonly key?: string | undefined;
  /** Where several share the store: whose log it must be. */
  readonly instance?: string | undefined;
  /** Lines that are known from elsewhere. */
  readonly known?: readonly KnownLine[] | undefined;
}

/** Checks lines of an audit log as they come, with signatures by nkeys. */
export function auditVerifier(trust: AuditTrust): AuditVerifier {
  return new AuditVerifier({ ...trust, verify: verifyNkey });
}

/**
 * Checks the audit log in a state folder, beside a running server or without one.
 *
 * @throws CofferError `io`
 */
export function verifyAuditLog(stateDir: string, trust: AuditTrust): Promise<AuditVerdict> {
  const folder = join(stateDir, AUDIT_FOLDER);
  return reading(folder, () => engine.verifyAuditLog(folder, { ...trust, verify: verifyNkey, live: true }));
}

export interface ReadAuditOptions extends AuditFilter {
  /** In place of the first line: so many of the last. */
  readonly last?: number | undefined;
  readonly follow?: boolean | undefined;
  /** Ends a reading that follows. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Lines of the audit log in a state folder, as the server would give them; nobody is asked for a right, and no entry says so.
 *
 * @throws CofferError `io`
 */
export async function* readAuditLog(
  stateDir: string,
  { last, follow = false, signal, ...filter }: ReadAuditOptions,
): AsyncGenerator<Buffer, void> {
  engine.requireKnownAction(filter);
  const folder = join(stateDir, AUDIT_FOLDER);
  const from =
    last === undefined
      ? undefined
      : await reading(folder, async () => (await engine.endOfLog(folder)).seq - last + 1);
  const range = { ...filter, from: from && Math.max(1, from) };
  yield* engine.readLog(folder, range, {
    // There is nobody to tell what is durable: what is there counts.
    seq: () => Number.MAX_SAFE_INTEGER,
    more: async () => {
      if (follow) await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
      return follow && !signal?.aborted;
    },
  });
}

/** As {@link readAuditLog}, of several state folders, whose instances share a store: in the order of time. */
export async function* readAuditLogs(
  stateDirs: readonly string[],
  filter: AuditFilter,
): AsyncGenerator<Buffer, void> {
  yield* engine.mergeByTime(stateDirs.map((stateDir) => readAuditLog(stateDir, filter)));
}

/**
 * What a store says of its audit log, by its root key, while no server has it open.
 *
 * @throws CofferError as {@link engine.auditWitness}
 */
export async function auditWitness(
  stateDir: string,
  rootKey: string,
  promptPassphrase?: (question: string) => Promise<Uint8Array>,
): Promise<AuditWitness> {
  const pairs: KeyPair[] = [];
  const createSigner = (seed: Uint8Array) => {
    const pair = keyPairFromBytes('server', seed);
    pairs.push(pair);
    return pair;
  };
  try {
    return await engine.auditWitness({
      stateDir,
      rootKey: parseRootKey(rootKey),
      createSigner,
      promptPassphrase,
    });
  } finally {
    for (const pair of pairs) pair.wipe();
  }
}

const verifyNkey = (message: Uint8Array, signature: Uint8Array, key: string) =>
  verify(key, message, signature);

async function reading<T>(folder: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof CofferError) throw error;
    const { message, code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'it is not there; is this the state folder of a server?' : message;
    throw new CofferError('io', `the audit log in ${folder} cannot be read: ${reason}`, { cause: error });
  }
}
