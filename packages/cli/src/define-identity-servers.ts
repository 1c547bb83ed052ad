import type { Command } from 'commander';
import { addJsonOption, defineCommand, examples } from './define.js';
import { addAccountOption, addSignerOption, identityGroup, onStore } from './define-identity-options.js';

/** Declares what gives accounts to nats-servers, and takes them from there. */
export function defineIdentityServers(identity: Command): void {
  const config = defineCommand(
    identityGroup(identity, 'generate'),
    'config',
    'write the configuration of a nats-server in operator mode',
    'With --mem-resolver all accounts stand in it, and a change means a new one; with --nats-resolver accounts are pushed.',
  )
    .option('--mem-resolver', 'with all tokens in it')
    .option('--nats-resolver', 'with a resolver of type full, which keeps what is pushed')
    .option('--config-file <file>', 'where to (default: standard output)')
    .option('--dir <dir>', 'with --mem-resolver: a folder with a file for each token')
    .option('--sys-account <name>', 'the system account (default: the operator’s token says)')
    .option('-F, --force', 'replace files that are there');
  onStore(config, async (options) => (await import('./identity/server-config.js')).config(options));
  examples(
    config,
    'coffer identity generate config --nats-resolver --config-file resolver.conf',
    'coffer identity generate config --mem-resolver > server.conf',
  );

  const commands = () => import('./identity/push.js');
  const push = addJsonOption(
    addSignerOption(
      addServers(
        addAccountOption(
          defineCommand(
            identity,
            'push',
            'give accounts to nats-servers',
            'They need a resolver of type full ("generate config --nats-resolver"); what they are given counts at once.',
          ),
        ),
      ),
    ),
  )
    .option('-A, --all', 'all accounts')
    .option('-P, --prune', 'have servers delete accounts that are not here')
    .option('-F, --force', 'also an account that the operator did not sign, or that has expired');
  onStore(push, async (options) => (await commands()).push(options));
  examples(
    push,
    'coffer identity push --account A',
    'coffer identity push --all --url nats://127.0.0.1:4222',
    'coffer identity push --prune                    they need "allow_delete: true"',
  );

  const pull = addJsonOption(
    addServers(
      addAccountOption(
        defineCommand(
          identity,
          'pull',
          'take accounts from a nats-server',
          'Only what the operator signed is taken, and nothing that is newer here is replaced.',
        ),
      ),
    ),
  )
    .option('-A, --all', 'all accounts that the server has')
    .option('-F, --overwrite-newer', 'replace also what is newer here');
  onStore(pull, async (options) => (await commands()).pull(options));
  examples(pull, 'coffer identity pull --all', 'coffer identity pull --account A');
}

/** How to reach nats-servers with a resolver of their own. */
export function addServers(command: Command): Command {
  return command
    .option(
      '-u, --url <urls>',
      'where nats-servers are, with commas between (default: the operator’s token says)',
    )
    .option('--system-account <name>', 'the system account (default: the operator’s token says)')
    .option('--system-user <name>', 'a user of it to come as (default: one is made for the purpose)')
    .option('--nats-ca <file>', 'certificate authorities to trust (PEM) in place of the system’s');
}
