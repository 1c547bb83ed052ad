import { note } from '../output.js';

/** Seeds on the command line, where secrets-nats-kv takes them. */
export interface SeedOptions {
  readonly transitXkeySeed?: string;
  readonly encryptionXkeySeed?: string;
}

/** Whoever lists processes sees them, and shells remember them. */
export async function noteSeedFlags({ transitXkeySeed, encryptionXkeySeed }: SeedOptions): Promise<void> {
  const seen = [
    ...(transitXkeySeed?.startsWith('S') ? [['-t', 'TRANSIT_XKEY_SEED'] as const] : []),
    ...(encryptionXkeySeed ? [['-e', 'ENCRYPTION_XKEY_SEED'] as const] : []),
  ];
  for (const [flag, variable] of seen) {
    await note(
      `coffer: warning: a seed behind ${flag} is seen by every user of this machine, and kept in the shell's history: put it ` +
        `into ${variable}`,
    );
  }
}
