import { open } from 'node:fs/promises';

import { GENESIS, sha256 } from './hash.js';
import { linesForwards } from './lines.js';
import { checkpointMessage } from './signer.js';

/** What a verified log holds, or where it breaks. */
export interface AuditVerdict {
  /** Lines whose place in the chain holds. */
  readonly entries: number;
  readonly checkpoints: number;
  /** `seq` of the last checkpoint: who has no signing key can still have changed what follows it. */
  readonly signed: number;
  /** Hash of the last line that holds; who kept it elsewhere finds a tail that was cut or changed. */
  readonly head: string;
  /** `seq` of intents that no outcome closes. */
  readonly openIntents: readonly number[];
  /** The first line that does not hold, and why; undefined if all do. */
  readonly broken?: { readonly line: number; readonly reason: string };
}

export interface VerifyOptions {
  /** The store's id in hex, which checkpoints sign. */
  readonly storeId: string;
  /** Checks a checkpoint's signature under the trusted public key; a log signed by another key is broken. */
  verify(message: Uint8Array, signature: Uint8Array, publicKey: string): boolean;
}

/** Checks every line of a log: its number, the hash of the one before, the signatures of its checkpoints. */
export async function verifyAuditLog(path: string, options: VerifyOptions): Promise<AuditVerdict> {
  const file = await open(path, 'r');
  let entries = 0;
  let checkpoints = 0;
  let signed = 0;
  let prev = GENESIS;
  const intents = new Set<number>();
  const verdict = (reason?: string): AuditVerdict => ({
    entries,
    checkpoints,
    signed,
    head: prev,
    openIntents: [...intents],
    ...(reason !== undefined && { broken: { line: entries + 1, reason } }),
  });
  try {
    for await (const { line, terminated } of linesForwards(file)) {
      if (!terminated) return verdict('it was cut off');
      const entry = parseEntry(line);
      if (!entry) return verdict('the line is no JSON object');
      if (entry.seq !== entries + 1) return verdict(`its seq is not ${entries + 1}`);
      if (entry.prev !== prev) return verdict('it does not carry the hash of the line before');
      if (entry.phase === 'intent') intents.add(entry.seq);
      if (entry.intent !== undefined) intents.delete(entry.intent);
      if (entry.action === 'checkpoint') {
        if (!isSigned(entry, options)) return verdict("its signature is not the server's");
        checkpoints++;
        signed = entry.seq;
      }
      prev = sha256(line);
      entries++;
    }
    return verdict();
  } finally {
    await file.close();
  }
}

export interface Entry {
  readonly seq: number;
  readonly prev: string;
  readonly action: string;
  readonly phase?: string;
  readonly intent?: number;
  readonly openSince: number;
  readonly generation: number;
  readonly revision?: number;
  readonly signature: string;
  readonly key: string;
}

/** True for a checkpoint that the trusted key signed. */
export function isSigned(entry: Entry, { storeId, verify }: VerifyOptions): boolean {
  try {
    return verify(checkpointMessage(storeId, entry), Buffer.from(entry.signature, 'base64'), entry.key);
  } catch {
    // A field that is not there, or not what a key or a signature looks like.
    return false;
  }
}

export function parseEntry(line: Buffer): Entry | undefined {
  try {
    return JSON.parse(line.toString()) as Entry;
  } catch {
    return undefined;
  }
}
