import { type Command, Option } from 'commander';

/** The options that the commands of `coffer wasmcloud` share: secrets-nats-kv's, by their names, short forms and meaning. */

/** Which backend is meant; of `many`, by --name more than once. */
export function addAddressOptions(command: Command, { many = false } = {}): Command {
  command.option('-s, --subject-base <subject>', 'what the subjects begin with (default: wasmcloud.secrets)');
  return many
    ? command.option(
        '-n, --name <name>',
        'the name of a backend; more than once for several (default: nats-kv)',
        collect,
      )
    : command.option('-n, --name <name>', 'the name of the backend (default: nats-kv)');
}

export function addQueueOption(command: Command, byDefault = 'wasmcloud_secrets'): Command {
  return command.option(
    '--nats-queue-base <group>',
    `what the queue group begins with (default: ${byDefault})`,
  );
}

/** How NATS is reached, and as whom. */
export function addNatsOptions(command: Command): Command {
  for (const [flags, description] of [
    [
      '--nats-address <address>',
      'HOST:PORT, or a URL; several with commas between them (default: 127.0.0.1:4222)',
    ],
    ['--nats-creds-file <file>', 'a creds file for NATS (default: NATS_CREDSFILE)'],
    ['--nats-nkey-file <file>', 'a file with a user’s seed, where NATS knows users by their keys'],
    ['--nats-ca <file>', 'certificate authorities to trust (PEM) in place of the system’s'],
  ] as const) {
    command.addOption(new Option(flags, description).helpGroup('NATS:'));
  }
  return command;
}

export const collect = (word: string, before: readonly string[] = []): string[] => [...before, word];
