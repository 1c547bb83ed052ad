import { type Command, CommanderError, Option } from 'commander';

/** What the declarations of commands share. */

export function defineCommand(parent: Command, usage: string, summary: string, description = ''): Command {
  const command = parent.command(usage).summary(summary);
  return explainMisuse(command).description(`${capital(summary)}.${more(description)}`);
}

/** Turns commander's errors, of one or two lines, into one that says where to read on. */
export function explainMisuse(command: Command): Command {
  return command.exitOverride((error) => {
    if (!error.message.startsWith('error: ')) throw error;
    const sentence = error.message.trim().replace(/\.$/, '').replaceAll('\n', ' ');
    throw new CommanderError(error.exitCode, error.code, `${sentence}; see "${path(command)} --help"`);
  });
}

/**
 * On every command, so that they may stand before or after its name; on the program itself, too, where setec's
 * users write `-s`.
 *
 * @param flags of the option for the server, where it may stand without an address
 */
export function addConnectionOptions(command: Command, flags?: string): Command {
  const { server, tokenFile, creds, audience, ca } = connectionOptions(flags);
  return [server, tokenFile, creds, audience, ca].reduce((each, option) => each.addOption(option), command);
}

/** Of a command that makes a proof and asks no server. */
export function addProofOptions(command: Command): Command {
  const { server, creds, audience } = connectionOptions();
  return [server, creds, audience].reduce((each, option) => each.addOption(option), command);
}

function connectionOptions(flags = '-s, --server <address>') {
  const option = (flags: string, description: string) =>
    new Option(flags, description).helpGroup('Connection:');
  return {
    server: option(flags, 'a URL, or unix:PATH (default: COFFER_SERVER or http://127.0.0.1:2633)'),
    tokenFile: option(
      '--token-file <file>',
      'a file with the token (default: COFFER_TOKEN_FILE, or COFFER_TOKEN itself)',
    ),
    creds: option('--creds <file>', 'a NATS creds file, in place of a token (default: COFFER_CREDS)'),
    audience: option(
      '--audience <url>',
      'the server’s publicUrl, for --creds (default: COFFER_AUDIENCE or the server’s URL)',
    ),
    ca: option('--ca <file>', 'certificate authorities to trust (PEM; default: COFFER_CA or the system’s)'),
  };
}

export function addJsonOption(command: Command): Command {
  return command.option('--json', 'print JSON');
}

/** Gives a command what it does, with its options over those that stood before its name. */
export function act(
  command: Command,
  run: (options: object, ...operands: string[]) => Promise<void>,
): Command {
  return command.action((...given: unknown[]) => {
    const operands = given.slice(0, -2) as string[];
    return run(optionsOf(command), ...operands);
  });
}

/** The same for a command that talks to a server. */
export function actOnServer(command: Command, run: Parameters<typeof act>[1]): Command {
  return act(addConnectionOptions(command), run);
}

function optionsOf(command: Command): object {
  const inherited = command.parent === null ? {} : optionsOf(command.parent);
  return { ...inherited, ...command.opts() };
}

export function examples(command: Command, ...lines: string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}

function path(command: Command): string {
  return command.parent === null ? command.name() : `${path(command.parent)} ${command.name()}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function more(description: string): string {
  return description === '' ? '' : `\n\n${description}`;
}
