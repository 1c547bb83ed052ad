import type { Command } from 'commander';
import { actOnServer, addJsonOption, defineCommand, examples } from './define.js';

/** Declares what uses many secrets at once. Each command loads its code only when it runs. */
export function defineUseCommands(program: Command): void {
  defineRun(program);
  defineImport(program);
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

function defineImport(program: Command): void {
  const commands = () => import('./commands/import.js');
  const group = define(program, 'import', 'bring in secrets from a .env file, a folder or a setec server');

  const env = addSaveOptions(
    defineCommand(
      group,
      'env <file>',
      'save each value of a .env file as a secret',
      `The secret is called as its key, with --prefix before it. ${AGAIN} Comments, "export ", single and double ` +
        'quotes, and values of several lines are understood; nothing is expanded: $NAME stays as it stands. A value ' +
        'without quotes ends before white space and a #. A key that stands twice is an error. - is standard input.',
    ),
  );
  actOnServer(env, async (options, file) => (await commands()).importEnv(file, options));
  examples(
    env,
    'coffer import env --prefix prod/billing/ --dry-run .env',
    'coffer import env --prefix prod/billing/ .env',
    'sops decrypt secrets.env | coffer import env --activate -',
  );

  const dir = addSaveOptions(
    defineCommand(
      group,
      'dir <path>',
      'save each file of a folder as a secret',
      'The secret is called as the file’s path in the folder, with --prefix before it, and holds its bytes as they ' +
        `are, a line feed at the end too. ${AGAIN} Links are followed to what lies in the folder. Names that begin ` +
        'with .. are skipped, so that a folder which Kubernetes makes of a secret can be read.',
    ),
  );
  actOnServer(dir, async (options, path) => (await commands()).importDir(path, options));
  examples(
    dir,
    'coffer import dir --prefix prod/tls/ --dry-run ./certificates',
    'coffer import dir --prefix prod/app/ /run/secrets',
  );

  const setec = addReportOptions(
    defineCommand(
      group,
      'setec',
      'copy all secrets of a setec server, with their version numbers',
      'Every secret that the source shows, each version under its number. A secret that is new here has the same ' +
        'version active; of one that is here already the active version stays, unless --activate is given. -s, ' +
        '--token-file and --ca mean the server that takes the secrets, as everywhere; --from, --from-token-file and ' +
        '--from-ca the one that they come from. Without --from, "coffer import setec -s URL" reads the setec server ' +
        'at URL and writes to COFFER_SERVER. Nothing is written over: a version that has another value there is a ' +
        'failure, told at the end. To run it again copies what is missing. It needs the rights to info, get, ' +
        'create-version and activate, and put for secrets that are here already.',
    )
      .option('--from <url>', 'the setec server to read')
      .option(
        '--secrets <pattern>',
        'only secrets of such names; * stands for any characters; as often as you like',
        collect,
      )
      .option('--activate', 'make active what is so at the source, of secrets that are here already, too')
      .option('--from-token-file <file>', 'a file with the token for it, if it wants one')
      .option('--from-ca <file>', 'certificate authorities to trust for it (PEM)'),
  );
  actOnServer(setec, async (options) => (await commands()).importSetec(options));
  examples(
    setec,
    'coffer import setec --from https://secrets.tail1234.ts.net --dry-run',
    "coffer import setec --from https://secrets.tail1234.ts.net --secrets 'prod/billing/*' --activate",
    'coffer import setec --from https://secrets.tail1234.ts.net -s https://coffer.example.com --token-file admin.token',
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

const AGAIN =
  'The first version of a secret is active; a changed value becomes a new version, which waits unless --activate is ' +
  'given; an equal one changes nothing, so that the command may be run again.';

function define(program: Command, usage: string, summary: string, description?: string): Command {
  return defineCommand(program, usage, summary, description).helpGroup('Using secrets:');
}

function addSaveOptions(command: Command): Command {
  return addReportOptions(
    command
      .option('--prefix <text>', 'what each secret’s name begins with, such as prod/billing/')
      .option('--activate', 'make each value the active one'),
  );
}

function addReportOptions(command: Command): Command {
  return addJsonOption(command.option('--dry-run', 'say what would be done, without values, and do nothing'));
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
