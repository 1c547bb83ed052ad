import type { Command } from 'commander';
import { addJsonOption, defineCommand, examples } from './define.js';
import { addAccountOption, addNameOption, identityGroup, onStore } from './define-identity-options.js';

/** Declares what shows operators, accounts, users and tokens, and checks them. */
export function defineIdentityViews(identity: Command): void {
  defineDescribe(identityGroup(identity, 'describe'));
  defineList(identityGroup(identity, 'list'));
  defineValidate(identity);
}

function defineDescribe(group: Command): void {
  const commands = () => import('./identity/describe.js');

  const operator = addForms(
    addNameOption(
      defineCommand(group, 'operator [name]', 'show an operator, the current one unless one is named'),
      'operator',
    ),
  );
  onStore(operator, async (options, name) => (await commands()).describeOperator(name, options));
  examples(operator, 'coffer identity describe operator', 'coffer identity describe operator --json O');

  const account = addForms(
    addNameOption(
      defineCommand(group, 'account [name]', 'show an account, the current one unless one is named'),
      'account',
    ),
  ).option('-W, --long-ids', 'show keys of other accounts in full');
  onStore(account, async (options, name) => (await commands()).describeAccount(name, options));
  examples(account, 'coffer identity describe account A', 'coffer identity describe account --raw A > A.jwt');

  const user = addForms(
    addAccountOption(addNameOption(defineCommand(group, 'user [name]', 'show a user of an account'), 'user')),
  );
  onStore(user, async (options, name) => (await commands()).describeUser(name, options));
  examples(user, 'coffer identity describe user --account A U');

  const jwt = addForms(
    defineCommand(
      group,
      'jwt [file]',
      'show a token that lies in a file',
      'Of an operator, an account, a user or an activation, bare or between lines of dashes; of a creds file its token. - is ' +
        'standard input.',
    ),
  )
    .option('-f, --file <file>', 'the file, in place of the operand')
    .option('-W, --long-ids', 'show keys of other accounts in full');
  onStore(jwt, async (options, file) => (await commands()).describeToken(file, options));
  examples(jwt, 'coffer identity describe jwt U.creds', 'coffer identity describe jwt --json activation.jwt');
}

function addForms(command: Command): Command {
  return command
    .option('-J, --json', 'print the claims as JSON')
    .option('-R, --raw', 'print the token itself')
    .option(
      '-F, --field <path>',
      'print one of the claims as JSON: sub, nats.limits.conn, nats.exports[0].name',
    )
    .option('-o, --output-file <file>', 'into a file (default: standard output)');
}

function defineList(group: Command): void {
  const commands = () => import('./identity/list.js');
  const operators = addJsonOption(defineCommand(group, 'operators', 'list operators'));
  onStore(operators, async (options) => (await commands()).listOperators(options));

  const accounts = addJsonOption(defineCommand(group, 'accounts', 'list the accounts of an operator')).option(
    '-o, --operator <name>',
    'the operator (default: the current one)',
  );
  onStore(accounts, async (options) => (await commands()).listAccounts(options));

  const users = addAccountOption(
    addJsonOption(defineCommand(group, 'users', 'list the users of an account')),
  ).option('-o, --operator <name>', 'the operator (default: the current one)');
  onStore(users, async (options) => (await commands()).listUsers(options));
  examples(users, 'coffer identity list users --account A');
}

function defineValidate(identity: Command): void {
  const validate = addJsonOption(
    addAccountOption(
      defineCommand(
        identity,
        'validate',
        'look for what is wrong with operator, accounts and users',
        'Each token for itself, and whether who signed it may. The exit status is 1 if something is wrong.',
      ),
    ),
  )
    .option('-A, --all-accounts', 'all accounts of the operator')
    .option('-f, --file <file>', 'tokens in a file, one a line, instead');
  onStore(validate, async (options) => (await import('./identity/validate.js')).validate(options));
  examples(validate, 'coffer identity validate --all-accounts', 'coffer identity validate --account A');
}
