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
}

/**
 * What a checkpoint signs: domain ‖ 0 ‖ store id in hex ‖ 0 ‖ `seq` ‖ 0 ‖ `prev` ‖ 0 ‖ `openSince` ‖ 0 ‖ `generation`
 * ‖ 0 ‖ `revision`, as UTF-8. Without a `revision` it is version 1, in which that part is missing.
 */
export function checkpointMessage(
  storeId: string,
  { seq, prev, openSince, generation, revision }: Checkpoint,
): Uint8Array {
  const parts = [storeId, seq, prev, openSince, generation];
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
}

/** Domain ‖ 0 ‖ store id in hex ‖ 0 ‖ `seq` ‖ 0 ‖ `prev` ‖ 0 ‖ `upTo` ‖ 0 ‖ `upToHash`, as UTF-8. */
export function retirementMessage(storeId: string, { seq, prev, upTo, upToHash }: Retirement): Uint8Array {
  return Buffer.from(['coffer-audit-retire-v1', storeId, seq, prev, upTo, upToHash].join('\0'));
}
