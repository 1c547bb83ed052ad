import type { Command } from 'commander';
import { actOnServer, defineCommand, examples } from './define.js';
import { defineImportCommands } from './define-import.js';

/** Declares what uses many secrets at once. Each command loads its code only when it runs. */
export function defineUseCommands(program: Command): void {
  defineRun(program);
  defineImportCommands(program);
  defineExport(program);
}

function defineRun(program: Command): void {
  const run = define(
    program,
    'run [command...]',
    'run a command with secrets in its environment',
    'The values are fetched in one round trip and go into the environment of the command alone: not to disk, not into ' +
      'its arguments, not through a shell. If one is missing or refused, nothing is started. The command has this ' +
      'terminal and this input and output; signals reach it, and its exit status is ours: 127 if there is no such ' +
      'command, 126 if it cannot be run, 1 if coffer itself fails. It does not get COFFER_TOKEN, COFFER_TOKEN_FILE and ' +
      'COFFER_CREDS, nor passwords in ' +
      'COFFER_SERVER and SETEC_SERVER.',
  )
    .passThroughOptions()
    .option(
      '-e, --env <name=secret[@version]>',
      'a variable and its secret, the active version unless one is named; as often as you like',
      collect,
    )
    .option('--env-file <file>', 'a file of such lines; --env goes before it', collect)
    .option(
      '--watch [restart|SIGNAL]',
      'when the active version of a secret changes, restart the command with the new values, or send it a signal, as ' +
        '--watch=SIGHUP; its environment cannot change while it runs',
    )
    .option('--grace <seconds>', 'how long a restart waits after SIGTERM before SIGKILL (default: 10)')
    .option('--keep-token', 'leave the token and the passwords in the environment of the command');
  actOnServer(run, async (options, ...words) =>
    (await import('./commands/run.js')).run(words.flat(), options),
  );
  examples(
    run,
    'coffer run --env PGPASSWORD=prod/db/password -- psql -h db app',
    'coffer run --env OLD=prod/key@3 --env NEW=prod/key -- ./re-encrypt',
    'coffer run --env-file app.secrets -- node server.js',
    'coffer run --watch --env-file app.secrets -- node server.js',
  );
  run.addHelpText(
    'after',
    `
A file for --env-file holds names of secrets, no values, and may be kept with the code:
  # variable=secret, or variable=secret@version
  PGPASSWORD=prod/db/password
  SIGNING_KEY=prod/signing-key@7`,
  );
}

function defineExport(program: Command): void {
  const commands = () => import('./commands/export.js');
  const group = define(program, 'export', 'write many secrets to a .env file, a folder or JSON');
  const reveals =
    'It asks first, since it reveals values; without a terminal to ask on it needs --yes. Every value read is in the ' +
    'audit log. If one cannot be had or written, nothing is.';

  const env = addSelectionOptions(
    defineCommand(
      group,
      'env',
      'print secrets as a .env file',
      `Only text can be in it, under names of letters, digits and _: --prefix takes away what stands before. ${reveals}`,
    ),
  );
  actOnServer(env, async (options) => (await commands()).exportEnv(options));
  examples(
    env,
    'coffer export env --prefix prod/billing/ --dry-run',
    '(umask 077; coffer export env --prefix prod/billing/ > billing.env)',
  );

  const dir = addSelectionOptions(
    defineCommand(
      group,
      'dir <path>',
      'write secrets to files',
      'Each secret is a file that only you can read, at the path of its name, in a folder that must be empty or not ' +
        `exist yet. ${reveals}`,
    ),
  );
  actOnServer(dir, async (options, path) => (await commands()).exportDir(path, options));
  examples(dir, "coffer export dir --secrets 'prod/tls/*' --prefix prod/ ./out");

  const json = addSelectionOptions(
    defineCommand(
      group,
      'json',
      'print secrets as JSON',
      `{"secrets": [{"name", "activeVersion", "versions": [{"version", "value"}]}]}, values in base64. ${reveals}`,
    ).option('--all-versions', 'every version, not the active one alone'),
  );
  actOnServer(json, async (options) => (await commands()).exportJson(options));
  examples(json, '(umask 077; coffer export json --all-versions --yes > all.json)');
}

function define(program: Command, usage: string, summary: string, description?: string): Command {
  return defineCommand(program, usage, summary, description).helpGroup('Using secrets:');
}

function addSelectionOptions(command: Command): Command {
  return command
    .option(
      '--secrets <pattern>',
      'only secrets of such names; * stands for any characters; as often as you like',
      collect,
    )
    .option('--prefix <text>', 'only secrets whose names begin so, which is left away')
    .option('--dry-run', 'print the names, and read no value')
    .option('--yes', 'do not ask');
}

function collect(word: string, before: readonly string[] = []): string[] {
  return [...before, word];
}
