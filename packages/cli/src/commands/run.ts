import { type ConnectionOptions, withClient } from '../connection.js';
import { Failure } from '../failure.js';
import { Supervised } from '../run/child.js';
import { endAs } from '../run/ending.js';
import { environment, fetchValues } from '../run/environment.js';
import { readMappings } from '../run/mapping.js';

export type RunOptions = ConnectionOptions & {
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly keepToken?: boolean;
  readonly watch?: string | true;
  readonly grace?: string;
};

/** Runs a command with secrets in its environment, and ends as it ends. */
export async function run(words: readonly string[], options: RunOptions): Promise<never> {
  // Without a listener Node opens its inspector, to which every user of this machine can connect and read the values.
  process.on('SIGUSR1', () => {});
  const [command, ...args] = words;
  if (command === undefined)
    throw new Failure('no command to run: write it behind --, see "coffer run --help"');
  const mappings = readMappings(options.env ?? [], options.envFile ?? []);
  const supervised = new Supervised(command, args);
  if (options.watch !== undefined) {
    const { runWatched } = await import('../run/watched.js');
    return endAs(await runWatched(supervised, mappings, { ...options, watch: options.watch }));
  }
  const values = await withClient(options, (client) => fetchValues('nothing was started', client, mappings));
  const env = environment(mappings, values, { keepToken: options.keepToken ?? false });
  for (const { value } of values) value.fill(0);
  await supervised.start(env);
  return endAs(await supervised.ended);
}
