import { type Command, Option } from 'commander';
import { defineCommand, examples } from './define.js';
import {
  addAccountOption,
  addBoolean,
  addList,
  addNameOption,
  addPermissionOptions,
  addSignerOption,
  addTagOptions,
  addTimeOptions,
  addUserLimitOptions,
  onStore,
} from './define-identity-options.js';

/** Declares what changes operators, accounts, users and scoped signing keys. */
export function defineIdentityEdits(group: Command): void {
  defineOperator(group);
  defineAccount(group);
  defineUser(group);
  defineSigningKey(group);
}

const SK = 'add signing keys: public keys, or "generate" for a new one that goes into the key folder';

function defineOperator(group: Command): void {
  const command = addTimeOptions(
    addTagOptions(addSignerOption(defineCommand(group, 'operator', 'change the current operator'))),
  );
  addList(command, '--sk <keys>', SK);
  addList(command, '--rm-sk <keys>', 'remove signing keys: what they signed is refused from then on');
  addList(command, '-n, --service-url <urls>', 'add addresses at which clients reach the servers');
  addList(command, '--rm-service-url <urls>', 'remove such addresses');
  command
    .option('-u, --account-jwt-server-url <url>', 'where accounts are pushed to: a NATS server')
    .option('--rm-account-jwt-server-url', 'remove it')
    .option('--system-account <account>', 'the system account, by its name or public key');
  addBoolean(
    command,
    '--require-signing-keys',
    'accounts and users must be signed with signing keys, never with the operator’s or the account’s own key',
  );
  onStore(command, async (options) => (await import('./identity/edit-operator.js')).editOperator(options));
  examples(
    command,
    'coffer identity edit operator --sk generate',
    'coffer identity edit operator --service-url nats://nats.example.com:4222 --system-account SYS',
    'coffer identity edit operator --require-signing-keys',
  );
}

const ACCOUNT_LIMITS = [
  ['--conns <count>', 'how many connections; -1 is no limit'],
  ['--leaf-conns <count>', 'how many leaf nodes; -1 is no limit'],
  ['--data <bytes>', 'how much data; -1 is no limit'],
  ['--payload <bytes>', 'the largest message, such as 64k or 1MiB; -1 is no limit'],
  ['--subscriptions <count>', 'how many subscriptions; -1 is no limit'],
  ['--imports <count>', 'how many imports; -1 is no limit'],
  ['--exports <count>', 'how many exports; -1 is no limit'],
] as const;

const JETSTREAM_LIMITS = [
  ['--js-mem-storage <bytes>', 'memory for JetStream, such as 64M or 1GiB; 0 is none, -1 is no limit'],
  ['--js-disk-storage <bytes>', 'disk space for JetStream'],
  ['--js-streams <count>', 'how many streams'],
  ['--js-consumer <count>', 'how many consumers'],
  ['--js-max-mem-stream <bytes>', 'the largest stream in memory'],
  ['--js-max-disk-stream <bytes>', 'the largest stream on disk'],
  ['--js-max-ack-pending <count>', 'how many messages a consumer may have that are not acknowledged'],
] as const;

function defineAccount(group: Command): void {
  const command = addTimeOptions(
    addTagOptions(
      addSignerOption(
        addNameOption(
          defineCommand(group, 'account [name]', 'change an account, the current one unless one is named'),
          'account',
        ),
      ),
    ),
  );
  addList(command, '--sk <keys>', SK);
  addList(command, '--rm-sk <keys>', 'remove signing keys: what they signed is refused from then on');
  for (const [flags, description] of ACCOUNT_LIMITS) command.option(flags, description);
  addBoolean(command, '--wildcard-exports', 'exports may have wildcards');
  addBoolean(command, '--disallow-bearer', 'no user may connect with its token alone');
  command
    .option('--description <text>', 'what it is for')
    .option('--info-url <url>', 'where to read more')
    .option('--trace-context-subject <subject>', 'where traces go; "" turns them off')
    .option('--trace-context-sampling <percent>', 'how many messages are traced, from 1 to 100');
  for (const [flags, description] of JETSTREAM_LIMITS) {
    command.addOption(new Option(flags, description).helpGroup('JetStream:'));
  }
  for (const [flags, description] of [
    ['--js-max-bytes-required', 'a stream must say how large it may become'],
    ['--js-tier <replicas>', 'the limits are for streams with so many replicas (default: 0, all)'],
    ['--rm-js-tier <replicas>', 'remove the limits of a tier; 0 are those for all'],
    ['--js-enable <replicas>', 'turn JetStream on without limits, for a tier or, with 0, for all'],
    ['--js-disable', 'turn JetStream off'],
  ] as const) {
    command.addOption(new Option(flags, description).helpGroup('JetStream:'));
  }
  addPermissionOptions(command, ', for users who have no permissions of their own');
  onStore(command, async (options, name) =>
    (await import('./identity/edit-account.js')).editAccount(name, options),
  );
  examples(
    command,
    'coffer identity edit account A --sk generate',
    'coffer identity edit account --conns 100 --payload 1M A',
    'coffer identity edit account --js-mem-storage 64M --js-disk-storage 1G --js-streams 50 --js-consumer 100 A',
  );
}

function defineUser(group: Command): void {
  const command = addAccountOption(
    addTimeOptions(
      addTagOptions(
        addSignerOption(
          addNameOption(
            defineCommand(group, 'user [name]', 'change a user, and write its creds anew'),
            'user',
          ),
        ),
      ),
    ),
  );
  addUserLimitOptions(addPermissionOptions(command));
  onStore(command, async (options, name) =>
    (await import('./identity/edit-user.js')).editUser(name, options),
  );
  examples(
    command,
    'coffer identity edit user --account A --allow-pub "app.>" --deny-sub "app.private.>" U',
    'coffer identity edit user --allow-pub-response --response-ttl 5s U',
    'coffer identity edit user --tag ops --expiry 30d U',
    'coffer identity edit user -K reader U                signed with another key from now on',
  );
}

function defineSigningKey(group: Command): void {
  const command = addAccountOption(
    addSignerOption(
      defineCommand(
        group,
        'signing-key [key]',
        'give a signing key of an account a role, or change the role',
        'Users that such a key signs may do what its role may, and have no permissions and limits of their own. In subjects ' +
          '{{name()}}, {{subject()}}, {{account-name()}}, {{account-subject()}}, {{tag(KEY)}} and {{account-tag(KEY)}} stand ' +
          'for the user’s and the account’s own.',
      ),
    ),
  )
    .option('--sk <key>', 'the signing key: its public key, its role, or "generate" for a new one')
    .option('--role <name>', 'the name of the role, which -K then takes')
    .option('--description <text>', 'what it is for');
  addUserLimitOptions(addPermissionOptions(command));
  onStore(command, async (options, key) =>
    (await import('./identity/edit-signing-key.js')).editSigningKey(key, options),
  );
  examples(
    command,
    'coffer identity edit signing-key --account A --sk generate --role reader --allow-sub "app.{{name()}}.>"',
    'coffer identity edit signing-key --account A --sk reader --allow-pub "app.{{tag(team)}}.log"',
  );
}
