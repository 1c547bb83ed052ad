import { masked } from '@coffer/identity/masked';
import { Argument, Command, CommanderError, Option } from 'commander';
import { act, addConnectionOptions, defineCommand, examples, explainMisuse } from './define.js';
import { defineAdminCommands } from './define-admin.js';
import { defineIdentityCommands } from './define-identity.js';
import { defineSecretCommands } from './define-secrets.js';
import { defineUseCommands } from './define-use.js';
import { defineWasmcloudCommands } from './define-wasmcloud.js';
import { Ending, Failure, isForPeople } from './failure.js';
import { isBrokenPipe, note, paint } from './output.js';
import { readVersion } from './version.js';
import { withTwoDashes } from './wasmcloud/one-dash.js';

/**
 * Runs one command and answers with its exit code. Whatever goes wrong is one line on standard error; only
 * `COFFER_DEBUG` adds a stack trace, and only to what is our own mistake.
 */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(withTwoDashes(argv), { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && !error.message.startsWith('error: ')) return error.exitCode;
    if (error instanceof Ending) return error.exitCode;
    if (isBrokenPipe(error)) return 1;
    await note(`${paint('red', 'coffer:', process.stderr)} ${oneLine(explain(error))}`).catch(() => {});
    if (process.env.COFFER_DEBUG && error instanceof Error) console.error(masked(error.stack ?? ''));
    return error instanceof Failure ? error.exitCode : 1;
  }
}

function createProgram(): Command {
  const program = new Command('coffer')
    .description('Keeps secrets, in versions: encrypted, granted to whom you say, every access audited.')
    .usage('COMMAND [options]')
    // Else an option of the program's, as --version, would be taken from behind a command that has its own.
    .enablePositionalOptions()
    .configureOutput({ outputError: () => {} })
    .configureHelp({ subcommandTerm })
    .commandsGroup('Help:')
    .helpCommand('help [command]', 'show the help of a command')
    .addOption(new Option('-V, --version', 'print the version of this program'))
    .on('option:version', printVersion)
    .addHelpText('after', HELP);
  explainMisuse(program);
  addConnectionOptions(program);
  defineSecretCommands(program);
  defineUseCommands(program);
  defineAdminCommands(program);
  defineIdentityCommands(program);
  defineWasmcloudCommands(program);
  defineCompletion(program);
  return program;
}

function defineCompletion(program: Command): void {
  const shells = new Argument('<shell>', 'the shell').choices(['bash', 'zsh', 'fish']);
  const command = defineCommand(
    program,
    'completion',
    'print a script that completes coffer in a shell',
    'Commands, options and files, by the Tab key. It asks no server: names of secrets are not completed.',
  )
    .addArgument(shells)
    .helpGroup('Help:');
  act(command, async (_options, shell) =>
    (await import('./commands/completion.js')).completion(shell ?? '', program),
  );
  examples(
    command,
    'source <(coffer completion bash)                                   in ~/.bashrc',
    'source <(coffer completion zsh)                                    in ~/.zshrc, behind compinit',
    'coffer completion fish > ~/.config/fish/completions/coffer.fish    once',
  );
}

/** Without the `[options]` that all of them have. */
function subcommandTerm(command: Command): string {
  const operands = command.registeredArguments.map((each) =>
    each.required ? `<${each.name()}>` : `[${each.name()}]`,
  );
  return [command.name(), ...operands].join(' ');
}

const HELP = `
Examples:
  coffer server --dev                      a server to try things with, on this machine only
  coffer put prod/db/password              asks for the value, without showing it
  coffer put --generate --activate prod/db/password
  coffer get prod/db/password              the value alone, for scripts
  coffer COMMAND --help                    more on a command, with examples

Environment:
  COFFER_SERVER      the server, where no -s says otherwise (SETEC_SERVER is heard, too)
  COFFER_TOKEN       the token, where no --token-file says otherwise
  COFFER_TOKEN_FILE  a file with it, instead
  COFFER_CREDS       a NATS creds file, where no --creds says otherwise
  COFFER_CA          a file of authorities to trust, where no --ca says otherwise
  NO_COLOR           no colours`;

function printVersion(): never {
  process.stdout.write(`coffer ${readVersion()}\n`);
  throw new CommanderError(0, 'coffer.version', '');
}

function explain(error: unknown): string {
  if (error instanceof CommanderError) return error.message.replace(/^error: /, '');
  if (isForPeople(error)) return error.message;
  const message = error instanceof Error ? error.message : String(error);
  return `unexpected error: ${message} (please report this; COFFER_DEBUG=1 shows where it came from)`;
}

/** Also keeps what a name or a server says from steering the terminal, and what is secret, though an argument, off it. */
function oneLine(text: string): string {
  return masked(text.replace(/\p{C}+/gu, ' '));
}
