import type { Command } from 'commander';
import { addJsonOption, defineCommand, examples } from './define.js';
import { defineIdentityEdits } from './define-identity-edit.js';
import {
  addAccountOption,
  addKeyOption,
  addList,
  addNameOption,
  addPermissionOptions,
  addSignerOption,
  addTimeOptions,
  addUserLimitOptions,
  identityGroup,
  onStore,
} from './define-identity-options.js';
import { defineIdentityViews } from './define-identity-view.js';

/** Declares what makes, changes and shows operators, accounts and users in nsc's folders. */
export function defineIdentityStore(identity: Command): void {
  defineAdd(identityGroup(identity, 'add'));
  defineIdentityEdits(identityGroup(identity, 'edit'));
  defineGenerate(identityGroup(identity, 'generate'));
  defineIdentityViews(identity);
  defineDelete(identityGroup(identity, 'delete'));
  defineKeys(identity);
  defineEnv(identity);
}

function defineAdd(group: Command): void {
  const commands = () => import('./identity/add.js');

  const operator = addTimeOptions(
    addKeyOption(
      addNameOption(
        defineCommand(
          group,
          'operator [name]',
          'make an operator, at the root of the trust',
          'Its key is made and kept in the key folder, unless -K names one. It becomes the current operator.',
        ),
        'operator',
      ),
      'its key: a public key whose seed is in the key folder, a file with a seed, or a seed',
    ),
  )
    .option(
      '-u, --url <file>',
      'take an operator’s token from a file: whoever has its key signs the accounts',
    )
    .option('-s, --sys', 'make a system account SYS and its user sys')
    .option('--generate-signing-key', 'make a signing key for it')
    .option('-F, --force', 'with --url: replace the token of an operator that is here');
  onStore(operator, async (options, name) => (await commands()).addOperator(name, options));
  examples(
    operator,
    'coffer identity add operator O',
    'coffer identity add operator --generate-signing-key --sys O',
    'coffer identity add operator --url acme.jwt',
  );

  const account = addTimeOptions(
    addSignerOption(
      addNameOption(
        defineCommand(
          group,
          'account [name]',
          'make an account under the operator',
          'Its key is made and kept in the key folder, unless -k names one. It becomes the current account.',
        ),
        'account',
      ),
    ),
  ).option('-k, --public-key <key>', 'its key, or a file with its seed, instead of a new one');
  addPermissionOptions(account, ', for users who have no permissions of their own', { remove: false });
  onStore(account, async (options, name) => (await commands()).addAccount(name, options));
  examples(
    account,
    'coffer identity add account A',
    'coffer identity add account A -K OA2X…          signed with this key of the operator',
  );

  const user = addAccountOption(
    addTimeOptions(
      addSignerOption(
        addNameOption(
          defineCommand(
            group,
            'user [name]',
            'make a user of an account, and its creds',
            'Its key is made and kept in the key folder, unless -k names one. With -K ROLE it may do what the role may, and ' +
              'has no permissions and limits of its own.',
          ),
          'user',
        ),
      ),
    ),
  ).option('-k, --public-key <key>', 'its key, or a file with its seed, instead of a new one');
  addList(user, '--tag <tags>', 'tags, which grants of coffer and templates of roles can name');
  addUserLimitOptions(addPermissionOptions(user, '', { remove: false }), { remove: false });
  onStore(user, async (options, name) => (await commands()).addUser(name, options));
  examples(
    user,
    'coffer identity add user U',
    'coffer identity add user --account A --allow-pub "app.>" --expiry 90d U',
    'coffer identity add user -K reader U                with the role reader',
  );
}

function defineGenerate(group: Command): void {
  const commands = () => import('./identity/generate.js');

  const nkey = defineCommand(
    group,
    'nkey',
    'make a key pair',
    'Prints its seed, which is secret, and its public key; with --store the seed goes into the key folder instead.',
  )
    .option('-o, --operator', 'for an operator')
    .option('-a, --account', 'for an account')
    .option('-u, --user', 'for a user')
    .option('-x, --curve', 'to seal and open')
    .option('-S, --store', 'keep it in the key folder');
  onStore(nkey, async (options) => (await commands()).nkey(options));
  examples(
    nkey,
    'coffer identity generate nkey --operator --store',
    'coffer identity generate nkey --account --store',
  );

  const creds = addAccountOption(
    addNameOption(
      defineCommand(
        group,
        'creds [name]',
        'write the creds file of a user',
        'It holds the user’s token and seed: whoever has it is that user. Needs the seed in the key folder.',
      ),
      'user',
    ),
  )
    .option('-u, --user <name>', 'the same')
    .option('-o, --output-file <file>', 'where to, mode 0600 (default: standard output)');
  onStore(creds, async (options, name) => (await commands()).creds(name, options));
  examples(
    creds,
    'coffer identity generate creds --account A U > U.creds',
    'coffer identity generate creds --account A --name U --output-file U.creds',
  );
}

function defineDelete(group: Command): void {
  const commands = () => import('./identity/delete.js');

  const operator = addNameOption(
    defineCommand(
      group,
      'operator [name]',
      'delete an operator with all its accounts and users',
      'Their tokens are gone; keys and creds stay unless asked for. It asks first.',
    ),
    'operator',
  );
  addRemovalOptions(operator).option('-F, --force', 'do not ask');
  onStore(operator, async (options, name) => (await commands()).deleteOperator(name, options));
  examples(
    operator,
    'coffer identity delete operator O',
    'coffer identity delete operator --rm-creds --rm-nkey O',
  );

  const account = addNameOption(
    defineCommand(
      group,
      'account [name]',
      'delete an account with all its users',
      'Servers know it until it is deleted there, too ("coffer identity push"), or expires.',
    ),
    'account',
  );
  addRemovalOptions(account).option('-F, --force', 'also one that an operator signs whose key is not here');
  onStore(account, async (options, name) => (await commands()).deleteAccount(name, options));
  examples(account, 'coffer identity delete account A');

  const user = addSignerOption(
    addAccountOption(
      defineCommand(
        group,
        'user [names...]',
        'delete users',
        'Their creds go on working until they expire, unless --revoke is given and the account is pushed to the servers.',
      ),
    ),
  ).option('-R, --revoke', 'revoke them in the account, too');
  addList(user, '-n, --name <names>', 'the same as the operands');
  addRemovalOptions(user);
  onStore(user, async (options, ...names) => (await commands()).deleteUsers(names.flat(), options));
  examples(user, 'coffer identity delete user --account A --revoke --rm-creds U');
}

function addRemovalOptions(command: Command): Command {
  return command
    .option('-D, --rm-nkey', 'delete their keys, too')
    .option('-C, --rm-creds', 'delete their creds, too');
}

function defineKeys(identity: Command): void {
  const commands = () => import('./identity/keys.js');
  const imports = defineCommand(
    identityGroup(identity, 'import'),
    'keys',
    'put keys that lie in a folder into the key folder',
    'Every file there that ends in .nk and holds a seed. The files stay where they are.',
  )
    .requiredOption('-d, --dir <dir>', 'the folder')
    .option('-R, --recurse', 'look into its folders, too');
  onStore(imports, async (options) => (await commands()).importKeys(options));
  examples(imports, 'coffer identity import keys --dir ./old-keys');

  const exports = addKeyOptions(
    defineCommand(
      identityGroup(identity, 'export'),
      'keys',
      'copy keys out of the key folder',
      'Each seed into a file of its own, mode 0600, called as its public key.',
    ),
  )
    .requiredOption('-d, --dir <dir>', 'the folder to copy them to')
    .option('-F, --force', 'replace files that are there')
    .option('-R, --remove', 'move them: remove them from the key folder')
    .option('--include-jwts', 'and the tokens of operator, accounts and users');
  onStore(exports, async (options) => (await commands()).exportKeys(options));
  examples(exports, 'coffer identity export keys --all --dir ./backup');

  const list = addJsonOption(
    addKeyOptions(
      defineCommand(
        identityGroup(identity, 'list'),
        'keys',
        'list keys, what they are for, and whether their seeds are here',
        'Those of the operator, the current account and its users; --all shows those of all accounts.',
      ),
    ),
  ).option('-S, --show-seeds', 'show the seeds, which are secret');
  onStore(list, async (options) => (await commands()).listKeys(options));
  examples(
    list,
    'coffer identity list keys --all',
    'coffer identity list keys --not-referenced     keys in the folder that nothing here names',
  );
}

function addKeyOptions(command: Command): Command {
  return command
    .option('-A, --all', 'of the operator and all accounts and users')
    .option('-o, --operator', 'of the operator')
    .option('-a, --accounts', 'of accounts')
    .option('-u, --users', 'of users')
    .option('--account <name>', 'of this account alone')
    .option('--user <name>', 'of this user alone')
    .option('-f, --filter <text>', 'keys in which this stands')
    .option('--not-referenced', 'keys in the folder that no token of this operator names');
}

function defineEnv(identity: Command): void {
  const env = defineCommand(
    identity,
    'env',
    'show where stores, keys and configuration are, and choose the current operator and account',
    'Commands that name no operator or account mean the current ones, as do those of nsc.',
  )
    .option('-s, --store <dir>', 'the folder of the stores from now on')
    .option('-o, --operator <name>', 'the current operator from now on')
    .option('-a, --account <name>', 'the current account from now on');
  onStore(env, async (options) => (await import('./identity/env.js')).env(options));
  examples(
    env,
    'coffer identity env',
    'coffer identity env --operator O --account A',
    'coffer identity env --store ~/other/stores',
  );
}
