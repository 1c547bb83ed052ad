import type { Migrated } from '@coffer/server';
import { Failure } from '../failure.js';
import { counted } from '../numbers.js';
import { note, print, printJson } from '../output.js';
import { askingOnce } from '../passphrase.js';

interface MigrateOptions {
  readonly to?: string;
  readonly stateDir?: string;
  readonly rootKey?: string;
  readonly config?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Between two lines of how far it is, in records. */
const TOLD_EVERY = 100_000;

export async function migrate({ to, force = false, json, ...flags }: MigrateOptions): Promise<void> {
  if (to !== 'jetstream' && to !== 'embedded') throw new Failure('--to is jetstream or embedded');
  if (force && to === 'jetstream') throw new Failure('--force is for --to embedded');
  const { loadConfig, migrateStore } = await import('@coffer/server');
  const config = loadConfig({ flags, env: process.env });
  let told = 0;
  const migrated = await askingOnce((promptPassphrase) =>
    migrateStore(config, {
      to,
      force,
      env: process.env,
      promptPassphrase,
      onNotice: (sentence) => void note(`coffer: ${sentence}`),
      onProgress: ({ records }) => {
        if (records < told + TOLD_EVERY) return;
        told = records;
        void note(`${records} records are copied …`);
      },
    }),
  );
  if (json) return printJson({ stateDir: config.stateDir, to, ...migrated });
  await print(describe(to, migrated, force));
}

function describe(to: 'jetstream' | 'embedded', { copied, kept, keptLog }: Migrated, force: boolean): string {
  const where = to === 'jetstream' ? 'in NATS JetStream' : 'in the state folder';
  const next =
    to === 'jetstream'
      ? 'Start this instance, and others with state folders of their own.'
      : 'Take storage.kind: jetstream out of the configuration, then start the server. ' +
        (force
          ? 'The bucket was left as it is: if it comes back, let no instance serve it, and remove it.'
          : 'The bucket holds no store any more, and can be removed.');
  return [
    copied
      ? `The store is ${where}: ${counted(copied.records, 'record')}, ${counted(copied.bytes, 'byte')}, each read back and compared.`
      : `The store is ${where}.`,
    ...(kept ? [`What was in the state folder is kept in ${kept}; remove it when you are content.`] : []),
    ...(keptLog ? [`The audit log of this instance is kept in ${keptLog}; a new one begins.`] : []),
    next,
  ].join('\n');
}
