import { join, resolve } from 'node:path';

import type { Signer } from '../audit/signer.js';
import { RecordSealer } from '../crypto/records.js';
import type { RootKeyContext, RootKeySpec } from '../crypto/root-key-spec.js';
import { CofferError } from '../errors.js';
import { parseHeader } from '../header/format.js';
import { lookAtRing } from '../header/wrapping.js';
import { type Anchor, HeadsIntegrity } from '../integrity.js';
import { LmdbReader } from '../storage/lmdb-reader.js';
import { storeOwner } from './owner.js';
import { headerRecord, withLink } from './store.js';

/** What a store knows of its audit log. */
export interface AuditWitness {
  readonly storeId: string;
  /** The public key that signs the log. */
  readonly serverKey: string;
  /** A line that the log must have; undefined in a store of format 1. */
  readonly anchor?: Anchor;
}

export interface AuditWitnessOptions extends Omit<RootKeyContext, 'development' | 'onNotice'> {
  readonly rootKey: RootKeySpec;
  createSigner(seed: Uint8Array): Signer;
}

/**
 * Asks a store that no server has open what it knows of its audit log. Changes nothing.
 *
 * @throws CofferError `store_locked`: a running server answers for its store itself; `tampered`, `newer_format`, and for the
 *   root key `no_root_key`, `wrong_root_key`, `insecure_root_key`
 */
export async function auditWitness(options: AuditWitnessOptions): Promise<AuditWitness> {
  const { stateDir } = options;
  const owner = await storeOwner(stateDir);
  if (owner !== undefined) {
    throw new CofferError(
      'store_locked',
      `the store in ${stateDir} is in use by ${owner}: ask that server (-s, in place of --state-dir), name its key ` +
        '(--key), or stop it first',
    );
  }
  return withLink(join(resolve(stateDir), 'store'), (folder) => ask(folder, options));
}

/** Of a store, or of an instance's replica of one. */
const readerOf = (folder: string): Promise<LmdbReader> =>
  LmdbReader.open(folder).catch((error: unknown) => {
    if (!(error instanceof CofferError) || error.code !== 'unfit_store') throw error;
    return LmdbReader.open(folder, 'replica');
  });

async function ask(folder: string, options: AuditWitnessOptions): Promise<AuditWitness> {
  const reader = await readerOf(folder);
  try {
    const { snapshot, incarnation } = reader;
    const header = headerRecord(reader);
    if (!header) throw new CofferError('tampered', `the store in ${options.stateDir} has no header`);
    const { development } = parseHeader(header);
    const context = { ...options, development, onNotice: () => undefined };
    const ring = await lookAtRing(incarnation, header, options.rootKey, context);
    try {
      const { anchor } = new HeadsIntegrity(ring, new RecordSealer(ring, incarnation)).read(snapshot.summary);
      return {
        storeId: Buffer.from(incarnation).toString('hex'),
        serverKey: options.createSigner(ring.signingSeed).publicKey,
        ...(anchor && { anchor }),
      };
    } finally {
      ring.wipe();
    }
  } finally {
    await reader.close();
  }
}
