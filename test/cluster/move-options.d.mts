import type { MigrateOptions } from '../../packages/engine/src/migrate/options.js';

type Place = Pick<MigrateOptions['jetstream'], 'connect' | 'bucket'>;
type Given = Pick<MigrateOptions, 'stateDir' | 'rootKey' | 'createSigner'>;

/** What a test moves a store with, to one nats-server or from it. */
export function moveOptions(
  options: Place & Given & Partial<Omit<MigrateOptions, keyof Given>>,
): MigrateOptions;
