import { note } from '../output.js';

/** Seeds on the command line, where secrets-nats-kv takes them. */
export interface SeedOptions {
  readonly transitXkeySeed?: string;
  readonly encryptionXkeySeed?: string;
}

export async function noteSeedFlags({ transitXkeySeed, encryptionXkeySeed }: SeedOptions): Promise<void> {
  await noteSeen([
    ...(transitXkeySeed?.startsWith('S') ? [['-t', 'TRANSIT_XKEY_SEED'] as const] : []),
    ...(encryptionXkeySeed ? [['-e', 'ENCRYPTION_XKEY_SEED'] as const] : []),
  ]);
}

/** Whoever lists processes sees them, and shells remember them. @param seen flags, and the variables that are better */
export async function noteSeen(seen: readonly (readonly [string, string])[]): Promise<void> {
  for (const [flag, variable] of seen) {
    await note(
      `coffer: warning: a seed behind ${flag} is seen by every user of this machine, and kept in the shell's history: put it ` +
        `into ${variable}`,
    );
  }
}
