import { type Command, InvalidArgumentError, Option } from 'commander';
import { addJsonOption, defineCommand, examples } from './define.js';
import {
  addAccountOption,
  addNameOption,
  addSignerOption,
  addTimeOptions,
  identityGroup,
  onStore,
} from './define-identity-options.js';
import { addServers, defineIdentityServers } from './define-identity-servers.js';

/** Declares what goes on between accounts and with servers, and what shows and replaces signing keys. */
export function defineIdentityOperate(identity: Command): void {
  defineExchange(identity);
  defineRevocations(identity);
  defineIdentityServers(identity);
  defineSigningKeys(identity);
}

function defineExchange(identity: Command): void {
  const add = identityGroup(identity, 'add');
  const remove = identityGroup(identity, 'delete');
  const exports = () => import('./identity/exports.js');
  const imports = () => import('./identity/imports.js');

  const addExport = change(
    defineCommand(
      add,
      'export [name]',
      'let other accounts have a stream or a service of an account',
      'A stream, unless --service is given: others subscribe to it. Whoever has its account’s key may import it, unless it is ' +
        '--private: then only who has an activation token ("generate activation").',
    ),
    'export',
  )
    .requiredOption('-s, --subject <subject>', 'what is exported; wildcards may stand in it')
    .option('-r, --service', 'others send requests to it, and get responses')
    .option('-p, --private', 'only with an activation token')
    .option('--response-type <type>', 'of a service: Singleton, Stream or Chunked (default: Singleton)')
    .option('--response-threshold <duration>', 'of a service: when a response is late, such as 500ms or 2s')
    .option('--latency <subject>', 'of a service: publish there how long responses take')
    .option('--sampling <percent>', 'of how many requests, 1 to 100 (default: as their headers say)')
    .option(
      '--account-token-position <n>',
      'which token of the subject, counted from 1, must be the importing account’s key: a *',
      wholeNumber,
    )
    .option('--advertise', 'mark it as one that others may be told of')
    .option('--description <text>', 'what it is')
    .option('--info-url <url>', 'where more is said about it');
  onStore(addExport, async (options, name) => (await exports()).addExport(name, options));
  examples(
    addExport,
    'coffer identity add export --account A --subject "news.>"',
    'coffer identity add export --account A --name bill --subject "bill.*" --service --private',
  );

  const deleteExport = change(defineCommand(remove, 'export', 'delete an export of an account')).option(
    '-s, --subject <subject>',
    'which, by its subject (default: the only one)',
  );
  onStore(deleteExport, async (options) => (await exports()).deleteExport(options));
  examples(deleteExport, 'coffer identity delete export --account A --subject "news.>"');

  const addImport = change(
    defineCommand(
      add,
      'import [name]',
      'give an account what another one exports',
      'By an activation token, which says whose and what it is; of a public export by --src-account and --remote-subject.',
    ),
    'import',
  )
    .option('-u, --token <file>', 'the activation token; - is standard input')
    .option('--src-account <account>', 'who exports it: a public key, or a name of an account here')
    .option('--remote-subject <subject>', 'what is imported')
    .option('--service', 'it is a service; a token says so itself')
    .option('-s, --local-subject <subject>', 'its subject in this account; $1 stands for its first *')
    .option('--share', 'of a service: tell who asks, where latency is tracked')
    .option('--allow-trace', 'of a stream: messages may be traced into this account');
  onStore(addImport, async (options, name) => (await imports()).addImport(name, options));
  examples(
    addImport,
    "coffer identity add import --account B --token activation.jwt --local-subject 'bills.$1'",
    'coffer identity add import --account B --src-account A --remote-subject "news.>"',
  );

  const deleteImport = change(defineCommand(remove, 'import', 'delete an import of an account'))
    .option('-s, --subject <subject>', 'which, by its subject where it comes from (default: the only one)')
    .option('--src-account <account>', 'from whom, where several have that subject');
  onStore(deleteImport, async (options) => (await imports()).deleteImport(options));
  examples(deleteImport, 'coffer identity delete import --account B --subject "news.>"');

  const activation = addTimeOptions(
    change(
      defineCommand(
        identityGroup(identity, 'generate'),
        'activation',
        'make a token by which another account imports a private export',
        'Pass it on: only the account that it is made for can use it.',
      ),
    ),
  )
    .requiredOption('-t, --target-account <account>', 'for whom: a public key, or a name of an account here')
    .option('-s, --subject <subject>', 'all of the export or a part of it (default: all of the only one)')
    .option('-o, --output-file <file>', 'where to (default: standard output)');
  onStore(activation, async (options) => (await import('./identity/activation.js')).activation(options));
  examples(
    activation,
    'coffer identity generate activation --account A --target-account B --subject "bill.*" > activation.jwt',
  );
}

function defineRevocations(identity: Command): void {
  const commands = () => import('./identity/revocations.js');
  const group = identityGroup(identity, 'revocations');
  const at = 'tokens issued up to then: a time (RFC 3339) or seconds since 1970; 0 is now';

  const add = addUser(
    change(
      defineCommand(
        group,
        'add-user [name]',
        'revoke a user: servers refuse its tokens that were issued up to now',
        'In the account’s token, where nats-servers see it, once it is pushed. A token that is issued afterwards is accepted.',
      ),
    ),
  ).option('--at <time>', at, '0');
  onStore(add.alias('add_user'), async (options, name) => (await commands()).addUser(name, options));
  examples(
    add,
    'coffer identity revocations add-user --account A U',
    'coffer identity revocations add-user --account A "*"     all users, of whom new tokens are issued then',
  );

  const remove = addUser(
    change(
      defineCommand(
        group,
        'delete-user [name]',
        'take the revocation of a user back',
        'Its old tokens are accepted again: to let it in with a new one this is not needed.',
      ),
    ),
  );
  onStore(remove.alias('delete_user'), async (options, name) => (await commands()).deleteUser(name, options));
  examples(remove, 'coffer identity revocations delete-user --account A U');
}

function defineSigningKeys(identity: Command): void {
  const issued = addJsonOption(
    defineCommand(
      identity,
      'issued-by <key>',
      'list all that a key signed',
      'Tokens of operator, accounts and users that are here, activation tokens inside imports, and what coffer noted about the ' +
        'key. Of the key its beginning is enough, or what "graph" shows of it.',
    ),
  ).option('-W, --long-ids', 'keys in full');
  onStore(issued, async (options, key) =>
    (await import('./identity/issued-by.js')).issued(key ?? '', options),
  );
  examples(issued, 'coffer identity issued-by ABPL…PVXP', 'coffer identity issued-by ABPLTK --long-ids');

  const graph = addJsonOption(
    defineCommand(
      identity,
      'graph',
      'draw who signed whom',
      'The operator, its keys and the accounts that each signed, their keys and roles, and the users and activation tokens that ' +
        'those signed. Marks what is revoked, expired, or signed by a key that counts no more.',
    ),
  ).option('-W, --long-ids', 'keys in full');
  onStore(graph, async (options) => (await import('./identity/graph.js')).graph(options));
  examples(graph, 'coffer identity graph');

  const rotate = addJsonOption(
    addServers(
      addSignerOption(
        defineCommand(
          identity,
          'rotate-signing-key',
          'replace a signing key, and sign anew all that it signed',
          'A new key with the same role joins it; users, their creds, and activation tokens in the imports of accounts here are ' +
            'signed anew with their claims as they are; the old key goes last. What is revoked stays revoked. It says who must ' +
            'act where it cannot. Killed half-way, it goes on when it is run again.',
        ),
      ),
    )
      .option('-a, --account <name>', 'a key of this account')
      .addOption(new Option('--operator', 'a key of the operator').conflicts('account'))
      .option('--old <key>', 'the key that goes, or its beginning (default: the only one without a role)')
      .addOption(new Option('--role <role>', 'the key of this role').conflicts(['old', 'operator']))
      .option(
        '--keep-old',
        'end before the old key goes; run it again without this when all have their new creds',
      )
      .addOption(new Option('--delete-old-seed', 'delete the old key’s seed at the end').conflicts('keepOld'))
      .option('--push', 'give the changed accounts to nats-servers at each step')
      .option('--dry-run', 'show it and change nothing'),
  );
  onStore(rotate, async (options) => (await import('./identity/rotate.js')).rotate(options));
  examples(
    rotate,
    'coffer identity rotate-signing-key --account A --dry-run',
    'coffer identity rotate-signing-key --account A --role reader --push',
    'coffer identity rotate-signing-key --operator --keep-old',
  );
}

/** @param named what its operand names, if it has one */
function change(command: Command, named?: string): Command {
  const signed = addAccountOption(addSignerOption(command));
  return named === undefined ? signed : addNameOption(signed, named);
}

function addUser(command: Command): Command {
  return addNameOption(command, 'user').option(
    '-u, --user-public-key <key>',
    'the user’s key, or * for all users',
  );
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is a whole number from 1.');
}
