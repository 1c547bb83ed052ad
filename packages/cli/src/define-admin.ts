import type { Command } from 'commander';
import { act, actOnServer, addJsonOption, defineCommand, examples } from './define.js';
import { defineAuditCommands } from './define-audit.js';
import { defineStorage } from './define-storage.js';
import { defineTokenCommands } from './define-tokens.js';

/** Declares the server and what administers it. Each command loads its code only when it runs. */
export function defineAdminCommands(program: Command): void {
  defineServer(program);
  defineTokenCommands(program);
  definePolicy(program);
  defineBackup(program);
  defineAuditCommands(program);

  defineConfig(program);
  defineDoctor(program);
  defineKeys(program);
  defineStorage(program);

  const whoami = define(program, 'whoami', 'show who the server takes you for, and what you may do');
  actOnServer(addJsonOption(whoami), async (options) =>
    (await import('./commands/whoami.js')).whoami(options),
  );
}

function defineServer(program: Command): void {
  const server = addServerOptions(
    define(
      program,
      'server',
      'run a server',
      'Its first administrator comes in through the admin socket in the state folder, -s unix:DIR/admin.sock. ' +
        'Each setting comes from its flag, else the environment (COFFER_LISTEN, COFFER_STATE_DIR, COFFER_ROOT_KEY, ' +
        'COFFER_TLS_CERT, COFFER_TLS_KEY, COFFER_PUBLIC_URL, COFFER_TRUST_OPERATOR, COFFER_TRUST_STORE, COFFER_CONFIG), else the configuration file, else a default.',
    ),
  );
  act(server, async (options) => (await import('./commands/server.js')).server(options));
  defineInit(server);
  examples(
    server,
    'coffer server --dev',
    'coffer server --state-dir /var/lib/coffer --root-key file:/etc/coffer/root.key',
    'coffer server --root-key passphrase:prompt',
    'coffer server --listen 0.0.0.0:2633 --tls-cert /etc/coffer/tls.crt --tls-key /etc/coffer/tls.key',
  );
}

function defineInit(server: Command): void {
  const init = addServerOptions(
    defineCommand(
      server,
      'init',
      'make identities, a configuration that trusts them, and an administrator',
      'Makes an operator, an account and an admin user, with a signing key each, where "coffer identity" and nsc keep ' +
        'them, never in the state folder; writes a configuration file with trust in the operator; and grants the user ' +
        'everything, in a running server or in the store itself. What is there already stays, so that it can be run ' +
        'again. The options of "coffer server" go into the configuration.',
    )
      .option('--identity-dir <dir>', 'a folder for stores and keys, in place of those of "coffer identity"')
      .option('--name <name>', 'of the operator (default: coffer)')
      .option('--account <name>', 'of the account (default: main)')
      .option('--user <name>', 'of the administrator (default: admin)'),
  );
  act(addJsonOption(init), async (options) =>
    (await import('./commands/server-init.js')).serverInit(options),
  );
  examples(
    init,
    'coffer server init',
    'coffer server init --name acme --user alice --public-url https://coffer.example.com',
    'coffer server init --identity-dir ~/acme-identities --state-dir /srv/coffer --config ~/coffer.yaml',
  );
}

function defineConfig(program: Command): void {
  const config = define(program, 'config', 'look at the configuration of a server');
  const check = addServerOptions(
    defineCommand(
      config,
      'check [file]',
      'print the configuration that a server would have, and what is wrong with it',
      'Takes the options and the environment of "coffer server", prints every setting with where it comes from, and ' +
        'looks at what they name: the address, the certificate, the state folder, the root key. Starts nothing and ' +
        'changes nothing; a running server is not disturbed. The exit status is 1 if there is a problem.',
    ),
  );
  act(addJsonOption(check), async (options, file) =>
    (await import('./commands/config.js')).check(file, options),
  );
  examples(
    check,
    'coffer config check /etc/coffer/coffer.yaml',
    'coffer config check --listen 0.0.0.0:2633 --tls-cert tls.crt --tls-key tls.key',
    'sudo -u coffer coffer config check --json /etc/coffer/coffer.yaml',
  );
}

function defineDoctor(program: Command): void {
  const doctor = define(
    program,
    'doctor',
    'look for what is wrong with a server, and say how to mend it',
    'Without -s it looks at this machine, with the options and the environment of "coffer server": the configuration, ' +
      'who can read its files, the root key, the store, the end of the audit log, disk, clock, swap, and at the server ' +
      'that runs, if one does. Run it as the server’s user. With -s it asks that server. It changes nothing. The exit ' +
      'status is 1 if there is a problem.',
  );
  actOnServer(addJsonOption(addServerOptions(doctor)), async (options) =>
    (await import('./commands/doctor.js')).doctor(options),
  );
  examples(
    doctor,
    'sudo -u coffer coffer doctor --config /etc/coffer/coffer.yaml',
    'coffer doctor --json --state-dir /var/lib/coffer --root-key file:/etc/coffer/root.key',
    'coffer doctor -s https://coffer.example.com --token-file ops.token',
  );
}

/** What decides a server's configuration; for commands that look at one, too. */
export function addServerOptions(command: Command): Command {
  return command
    .option('--dev', 'to try things on this machine: whoever can connect may do everything')
    .option('--listen <host:port>', 'where to serve HTTP (default: 127.0.0.1:2633)')
    .option('--state-dir <dir>', 'where the store and the audit log are (default: ~/.local/state/coffer)')
    .option(
      '--root-key <spec>',
      'file:PATH, passphrase:prompt, passphrase:file:PATH, passphrase:env:NAME, xkey-seed:file:PATH or xkey-seed:env:NAME ' +
        '(default: file:~/.config/coffer/root.key)',
    )
    .option(
      '--tls-cert <file>',
      'serve over TLS: the certificate, with those between it and its authority (PEM)',
    )
    .option('--tls-key <file>', 'its private key (PEM); both files are read again when they change')
    .option('--public-url <url>', 'the URL that callers use, which proofs of identities are made for')
    .option(
      '--trust-operator <file>',
      'let callers in whose identities descend from the operator with this token or key (O…); as often as you like',
      collect,
    )
    .option(
      '--trust-store <dir>',
      'where the tokens of its accounts are: the operator’s folder in an nsc store, whose operator is the trusted one ' +
        'unless another is named',
    )
    .option('--config <file>', 'a configuration file (YAML)')
    .option('--insecure-http', 'serve without TLS beyond this machine, as behind a proxy that adds it')
    .option(
      '--accept-rollback',
      'start although the store or the audit log was put back to an earlier state; the log will say so',
    );
}

function definePolicy(program: Command): void {
  const commands = () => import('./commands/policy.js');
  const policy = define(program, 'policy', 'show, check and apply who may do what');

  const show = defineCommand(policy, 'show', 'print the policy in force as a policy file');
  actOnServer(addJsonOption(show), async (options) => (await commands()).show(options));
  examples(show, 'coffer policy show > policy.yaml');

  const check = defineCommand(policy, 'check <file>', 'check a policy file; needs no server');
  addNamesOption(check);
  act(addJsonOption(check), async (options, file) => (await commands()).check(file, options));
  check.addHelpText('after', POLICY_HELP);

  const apply = defineCommand(
    policy,
    'apply <file>',
    'put a policy file in force',
    'The grants of the file take the place of those in force, at once. The difference is shown: - for a grant that ' +
      'goes, + for one that comes.',
  ).option('--dry-run', 'show the difference and change nothing');
  addNamesOption(apply);
  actOnServer(addJsonOption(apply), async (options, file) => (await commands()).apply(file, options));
  examples(apply, 'coffer policy apply --dry-run policy.yaml', 'coffer policy apply policy.yaml');
  apply.addHelpText('after', POLICY_HELP);
}

function addNamesOption(command: Command): Command {
  return command.option(
    '--identity-dir <dir>',
    'where the accounts and users are that the file names, in place of the folders of "coffer identity"',
  );
}

function defineBackup(program: Command): void {
  const commands = () => import('./commands/backup.js');
  const backup = define(program, 'backup', 'make, check and restore backups');

  const create = defineCommand(
    backup,
    'create <file>',
    'back up the store and its audit log',
    'Of a server that runs, as of one moment, while others read and write. The file is encrypted as the store is, and opens ' +
      'with the root key that the store has now. - writes to standard output.',
  ).option('--force', 'replace the file if it is there');
  actOnServer(addJsonOption(create), async (options, file) => (await commands()).create(file, options));
  examples(
    create,
    'coffer backup create coffer-$(date +%F).backup',
    'coffer -s unix:/var/lib/coffer/admin.sock backup create - | ssh backups "cat > coffer.backup"',
  );

  const verify = defineCommand(
    backup,
    'verify <file>',
    'check all of a backup, without a server',
    'Reads every block, opens every record and value with the root key, and checks the audit log. Nothing is written.',
  );
  act(addJsonOption(addRootKeyOptions(verify)), async (options, file) =>
    (await commands()).verify(file, options),
  );
  examples(verify, 'coffer backup verify coffer.backup --root-key file:/etc/coffer/keys/root.key');

  const restore = defineCommand(
    backup,
    'restore <file>',
    'make a state folder of a backup',
    'The folder must be absent or empty: a restore overwrites nothing, and leaves it absent or whole, whatever happens. ' +
      'Tokens that were revoked and grants that were removed after the backup count again, unless --merge-from finds them.',
  )
    .option('--state-dir <dir>', 'where the store is to be (default: that of the server)')
    .option('--dev', 'for a development server, from a backup of one')
    .option(
      '--merge-from <path>',
      'revoke and remove what was revoked and removed since, by this old state folder, audit log or newer backup; ' +
        'more than one may be given',
      (path: string, paths: string[] = []) => [...paths, path],
    )
    .option('--merge-root-key <spec>', 'the root key of those, if it is another')
    .option(
      '--accept-damage',
      'go on though values or lines of the audit log were damaged when the backup was made; they stay as they are, and are named',
    )
    .option('--verbose', 'name the secrets that were deleted or made since the backup');
  act(addJsonOption(addRootKeyOptions(restore)), async (options, file) =>
    (await commands()).restore(file, options),
  );
  examples(
    restore,
    'coffer backup restore coffer.backup --state-dir /var/lib/coffer --root-key file:/etc/coffer/keys/root.key',
    'coffer backup restore coffer.backup --state-dir /var/lib/coffer --merge-from /var/lib/coffer.broken',
  );
}

function addRootKeyOptions(command: Command): Command {
  return command
    .option('--root-key <spec>', 'the root key that the store had then (default: that of the server)')
    .option('--config <file>', 'the configuration file of the server');
}

function defineKeys(program: Command): void {
  const commands = () => import('./commands/keys.js');
  const keys = define(program, 'keys', 'list and change the keys that the store is encrypted with');

  const list = defineCommand(keys, 'list', 'list the keys, and how many records are under each');
  actOnServer(addJsonOption(list), async (options) => (await commands()).list(options));

  const rotate = defineCommand(
    keys,
    'rotate',
    'put a new data key, or a new root key, in force',
    'While the server runs. Under a new data key all records are encrypted anew in the background, which this command ' +
      'waits for; then the old key is destroyed. Secrets, versions and callers notice nothing. Ctrl-C ends the command alone, ' +
      'and "coffer keys list" shows how far it is.',
  )
    .option(
      '--root',
      'a new root key in place of a new data key; its file is replaced and kept under another name',
    )
    .option(
      '--to <spec>',
      'with --root, over the admin socket: file:PATH, passphrase:file:PATH, passphrase:env:NAME, xkey-seed:file:PATH or ' +
        'xkey-seed:env:NAME, as the server sees it',
    )
    .option(
      '--without <member...>',
      'of a shared store: a new data key although these instances lack the root key, and answer nothing until they are given it; by id or name',
    )
    .option('--no-wait', 'do not wait for the re-encryption');
  actOnServer(addJsonOption(rotate), async (options) =>
    (await commands()).rotate({ wait: true, ...options }),
  );
  examples(
    rotate,
    'coffer keys rotate',
    'coffer keys rotate --root',
    'coffer keys rotate --root --to file:/etc/coffer/root-2027.key',
  );
}

const POLICY_HELP = `
A policy file, YAML or JSON:
  grants:
    - to: ["token:0123456789abcdef"]  # principals; * stands for any characters
      actions: [get, info]            # get, info, put, create-version, activate, delete, admin, metrics
      secrets: ["prod/*"]             # names; * stands for any characters, / too
Everything that no grant allows is denied.`;

function define(program: Command, usage: string, summary: string, description?: string): Command {
  return defineCommand(program, usage, summary, description).helpGroup('Administration:');
}

function collect(word: string, before: readonly string[] = []): string[] {
  return [...before, word];
}
