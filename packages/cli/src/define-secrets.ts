import type { Command } from 'commander';
import { actOnServer, addJsonOption, defineCommand, examples } from './define.js';

/** Declares setec's commands and ours beside them. Each loads its code only when it runs. */
export function defineSecretCommands(program: Command): void {
  defineReading(program);
  defineWriting(program);
  defineChanging(program);
}

const reading = () => import('./commands/read.js');
const writing = () => import('./commands/write.js');
const changing = () => import('./commands/change.js');

function defineReading(program: Command): void {
  const list = define(program, 'list', 'list the secrets that you may see');
  actOnServer(addJsonOption(list), async (options) => (await reading()).list(options));

  const info = define(program, 'info <name>', 'show the versions of a secret and which is active');
  actOnServer(addJsonOption(info), async (options, name) => (await reading()).info(name, options));

  const get = define(
    program,
    'get <name>',
    'print the value of a secret',
    'Prints the bytes alone; on a terminal a line feed follows them. With --if-changed nothing is printed, and the ' +
      'exit status is 1, while the active version is that of --version.',
  )
    .option('--version <n>', 'this version in place of the active one')
    .option('--if-changed', 'the active version, if it is not that of --version');
  actOnServer(addJsonOption(get), async (options, name) => (await reading()).get(name, options));
  examples(
    get,
    'coffer get prod/db/password',
    'coffer get --version 3 prod/db/password',
    'PGPASSWORD=$(coffer get prod/db/password) psql',
    'coffer get prod/tls.key > /run/tls.key',
  );

  const watch = define(
    program,
    'watch [pattern...]',
    'print changes of secrets as they happen, never values',
    'One line for each: "ready" first, then "change" with the versions that there are now, "delete", and "reset" when ' +
      'changes were missed or your grants are others: read anew what you need. Only of secrets that you may get. A ' +
      'connection that breaks is made anew. It ends by Ctrl-C, or when your token or your last grant is gone.',
  ).option('--since <id>', 'go on behind the event with this id, from --json');
  actOnServer(addJsonOption(watch), async (options, ...patterns) =>
    (await import('./commands/watch.js')).watch(patterns.flat(), options),
  );
  examples(
    watch,
    'coffer watch',
    "coffer watch 'prod/*' shared/ca",
    "coffer watch --json 'prod/*' | jq .name",
  );
}

function defineWriting(program: Command): void {
  const put = define(
    program,
    'put <name>',
    'save a value as a new version of a secret',
    'The first version of a secret is active; a later one waits for "coffer activate", or --activate here. A value ' +
      'equal to that of the newest version makes no new one. Without --from-file and --generate the value is read ' +
      'from standard input or, on a terminal, asked for twice and not shown.',
  ).option('--activate', 'make the version active, too');
  actOnServer(addJsonOption(addValueOptions(put)), async (options, name) =>
    (await writing()).put(name, options),
  );
  examples(
    put,
    'coffer put prod/db/password                        asks for the value',
    'coffer put --verbatim --from-file tls.key prod/tls.key',
    'some-program | coffer put --trim-space prod/api-key',
    'coffer put --generate --activate prod/db/password',
    'coffer put --generate=64 prod/db/password',
  );

  const create = define(
    program,
    'create-version <name> <version>',
    'save a value as a version of a number that you choose, and activate it',
    'Fails if that number was ever used, even by a version deleted since. The value comes as with "coffer put".',
  );
  actOnServer(addJsonOption(addValueOptions(create)), async (options, name, version) =>
    (await writing()).createVersion(name, version, options),
  );
  examples(create, 'coffer create-version --from-file key.pem prod/key 20260401');
}

function defineChanging(program: Command): void {
  const activate = define(program, 'activate <name> <version>', 'make a version of a secret the active one');
  actOnServer(activate, async (options, name, version) =>
    (await changing()).activate(name, version, options),
  );
  examples(activate, 'coffer activate prod/db/password 4');

  const rollback = define(
    program,
    'rollback <name>',
    'activate the version below the active one',
    'That is the highest one below it that still exists.',
  );
  actOnServer(addJsonOption(rollback), async (options, name) => (await changing()).rollback(name, options));

  const confirmation =
    'Run it without a confirmation first: it fails, and says which one to add. That holds for a minute or two.';
  const deleteVersion = define(
    program,
    'delete-version <name> <version> [confirmation]',
    'delete a version that is not the active one',
    confirmation,
  );
  actOnServer(deleteVersion, async (options, name, version, token) =>
    (await changing()).deleteVersion(name, version, token, options),
  );

  const deleteSecret = define(
    program,
    'delete <name> [confirmation]',
    'delete a secret with all its versions, the active one too',
    confirmation,
  );
  actOnServer(deleteSecret, async (options, name, token) =>
    (await changing()).deleteSecret(name, token, options),
  );
}

function define(program: Command, usage: string, summary: string, description?: string): Command {
  return defineCommand(program, usage, summary, description).helpGroup('Secrets:');
}

function addValueOptions(command: Command): Command {
  const parse = command.parseOptions.bind(command);
  command.parseOptions = (words) => parse(withLengths(words));
  return command
    .option('--from-file <file>', 'read the value from this file')
    .option('--empty-ok', 'allow an empty value')
    .option('--verbatim', 'keep white space at the ends of a text')
    .option('--trim-space', 'remove white space from the ends of a text')
    .option('--generate [length]', 'make up a random value of letters and digits (default: 32 of them)')
    .option('--print', 'print the value that --generate made');
}

const DEFAULT_LENGTH = 32;

/**
 * In `--generate NAME` the name is not the length: gives every `--generate` without a number behind it the
 * default one, since commander would take the next word whatever it is.
 */
function withLengths(words: readonly string[]): string[] {
  const end = words.includes('--') ? words.indexOf('--') : words.length;
  return words.map((word, index) => {
    const bare = word === '--generate' && index < end && !/^\d+$/.test(words[index + 1] ?? '');
    return bare ? `--generate=${DEFAULT_LENGTH}` : word;
  });
}
