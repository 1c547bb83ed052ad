/** Signs what the log states of itself; the server makes one from an nkey. */
export interface Signer {
  /** For people and for `verify`: the server's public nkey, `N…`. */
  readonly publicKey: string;
  /** Ed25519, 64 bytes; deterministic, as RFC 8032 has it. */
  sign(message: Uint8Array): Uint8Array;
}

/** What a checkpoint states, and signs. */
export interface Checkpoint {
  readonly seq: number;
  /** Commits to every line before it. */
  readonly prev: string;
  /** No intent before this `seq` is open. */
  readonly openSince: number;
  /** Of the store's manifest. */
  readonly generation: number;
  /** The store's sequence; missing in checkpoints of 0.1.0. */
  readonly revision?: number | undefined;
  /** Whose chain it is, of a store that several instances share: 16 hex digits. */
  readonly instance?: string | undefined;
  /** Of such a chain: up to which line its copies had been acknowledged, see `copies/format.ts`. */
  readonly delivered?: number | undefined;
}

/**
 * What a checkpoint signs: domain ‖ 0 ‖ store id in hex ‖ 0 ‖ `seq` ‖ 0 ‖ `prev` ‖ 0 ‖ `openSince` ‖ 0 ‖ `generation`
 * ‖ 0 ‖ `revision`, as UTF-8. Without a `revision` it is version 1, in which that part is missing. Of an instance of a shared
 * store it is version 3, with ‖ 0 ‖ `instance` ‖ 0 ‖ `delivered` at the end: all instances sign with the store's one key, and
 * no chain is to stand in for another's.
 */
export function checkpointMessage(
  storeId: string,
  { seq, prev, openSince, generation, revision, instance, delivered = 0 }: Checkpoint,
): Uint8Array {
  const parts = [storeId, seq, prev, openSince, generation];
  if (instance !== undefined) {
    return Buffer.from(
      ['coffer-audit-checkpoint-v3', ...parts, revision ?? 0, instance, delivered].join('\0'),
    );
  }
  return Buffer.from(
    revision === undefined
      ? ['coffer-audit-checkpoint-v1', ...parts].join('\0')
      : ['coffer-audit-checkpoint-v2', ...parts, revision].join('\0'),
  );
}

/** That lines were taken away on purpose: all up to `upTo`. */
export interface Retirement {
  /** Of the entry that says so. */
  readonly seq: number;
  readonly prev: string;
  /** `seq` of the last line that goes. */
  readonly upTo: number;
  /** Its hash, which the first line that stays carries. */
  readonly upToHash: string;
  /** As in a {@link Checkpoint}. */
  readonly instance?: string | undefined;
}

/**
 * Domain ‖ 0 ‖ store id in hex ‖ 0 ‖ `seq` ‖ 0 ‖ `prev` ‖ 0 ‖ `upTo` ‖ 0 ‖ `upToHash`, as UTF-8; of an instance of a shared
 * store version 2, with ‖ 0 ‖ `instance` at the end.
 */
export function retirementMessage(
  storeId: string,
  { seq, prev, upTo, upToHash, instance }: Retirement,
): Uint8Array {
  const parts = [storeId, seq, prev, upTo, upToHash];
  return Buffer.from(
    instance === undefined
      ? ['coffer-audit-retire-v1', ...parts].join('\0')
      : ['coffer-audit-retire-v2', ...parts, instance].join('\0'),
  );
}
