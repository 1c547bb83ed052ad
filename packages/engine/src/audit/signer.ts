/** Signs the log's checkpoints; the server makes one from an nkey. */
export interface Signer {
  /** For people and for `verify`: the server's public nkey, `N…`. */
  readonly publicKey: string;
  /** Ed25519, 64 bytes. */
  sign(message: Uint8Array): Uint8Array;
}

const DOMAIN = 'coffer-audit-checkpoint-v1';

/**
 * What a checkpoint signs: domain ‖ 0 ‖ store id in hex ‖ 0 ‖ `seq` ‖ 0 ‖ `prev` ‖ 0 ‖ `openSince` ‖ 0 ‖ `generation`,
 * as UTF-8. `prev` commits to every line before it.
 */
export function checkpointMessage(
  storeId: string,
  checkpoint: { seq: number; prev: string; openSince: number; generation: number },
): Uint8Array {
  const { seq, prev, openSince, generation } = checkpoint;
  return Buffer.from([DOMAIN, storeId, seq, prev, openSince, generation].join('\0'));
}
