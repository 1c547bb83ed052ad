import type { Command } from 'commander';
import { act, actOnServer, addConnectionOptions, addJsonOption, defineCommand, examples } from './define.js';
import { addAccountOption, addFolderOptions, identityGroup } from './define-identity-options.js';

/** Declares what takes a server's belief in an identity away, and gives it back. */
export function defineIdentityRevoke(identity: Command): void {
  const commands = () => import('./identity/revoke.js');
  const revoke = defineCommand(
    identity,
    'revoke',
    'make a server believe one token, or a key, no more',
    'At once, on every instance, and until it is lifted; a restart and a restore keep it. It needs no new token of anybody’s. ' +
      'For one token of many, or where nobody can sign any more; "revocations" is what NATS servers know, too.',
  )
    .option('--jti <jti>', 'one token, by the field jti in it')
    .option(
      '--key <key>',
      'a public key: of an operator, account, user, component, host …, and all that it signed',
    )
    .option('--reason <text>', 'why, for those who read the list later')
    .option('--yes', 'do not ask before you revoke yourself')
    .option(
      '--lift <id>',
      'believe again what this revocation is about ("revocations list --server" shows ids)',
    );
  actOnServer(addJsonOption(revoke), async (options) => (await commands()).revoke(options));
  examples(
    revoke,
    'coffer identity revoke --jti IGTAGBPIJUCKUYXQNWUPGVDVKT5FQPNKMCHLC3HVVKXWVT2OBCRQ --reason "found in a log"',
    'coffer identity revoke --key UDQ…CA3 --reason "laptop stolen"',
    'coffer identity revoke --lift 0123456789abcdef',
  );

  const list = addAccountOption(
    defineCommand(
      identityGroup(identity, 'revocations'),
      'list',
      'list what is revoked',
      'The users whom an account’s token revokes; with --server what a server believes no more.',
    ),
  ).alias('list-users');
  const anyServer = '-s, --server [address]';
  act(addFolderOptions(addJsonOption(addConnectionOptions(list, anyServer))), async (options) => {
    const { server } = options as { server?: string | true };
    if (server === undefined) return (await import('./identity/revocations.js')).list(options);
    // Without an address it is the server of the environment, or the default.
    return (await commands()).list({ ...options, server: server === true ? '' : server });
  });
  examples(list, 'coffer identity revocations list --account A', 'coffer identity revocations list --server');
}
