import { type Command, Option } from 'commander';
import { act, defineCommand } from './define.js';

/** The options that the commands of `coffer identity` share: nsc's, by their names, short forms and meaning. */

const FOLDERS = 'Folders:';

/** The group of that name under `coffer identity`, made by whoever asks first: `add`, `edit`, `delete` and more have many commands. */
export function identityGroup(identity: Command, name: keyof typeof GROUPS): Command {
  const there = identity.commands.find((each) => each.name() === name);
  return there ?? defineCommand(identity, name, GROUPS[name]);
}

const GROUPS = {
  add: 'make an operator, an account or a user, and let accounts exchange messages',
  edit: 'change limits, permissions, signing keys, and more',
  generate: 'make keys, creds and files to pass on',
  describe: 'show what a token says',
  list: 'list operators, accounts, users and keys',
  delete: 'delete operators, accounts and users',
  import: 'bring in keys that lie elsewhere',
  export: 'copy keys to another place',
  revocations: 'revoke users in their account’s token, and list what is revoked',
} as const;

/** Declares a command on a store: `run` is loaded when it runs. */
export function onStore(
  command: Command,
  run: (options: object, ...operands: string[]) => Promise<void>,
): Command {
  if (LISTS.has(command)) {
    command.addHelpText(
      'after',
      '\nLists of keys, tags, subjects and the like have commas, or are given several times.',
    );
  }
  takeGoFlags(addFolderOptions(command));
  return act(command, run);
}

/** Where nsc keeps what. */
export function addFolderOptions(command: Command): Command {
  for (const [flags, description] of [
    ['-H, --all-dirs <dir>', 'one folder for all three'],
    ['--data-dir <dir>', 'the folder of the stores (default: nsc’s)'],
    ['--keystore-dir <dir>', 'the folder of keys and creds (default: NKEYS_PATH or nsc’s)'],
    ['--config-dir <dir>', 'the folder of nsc.json (default: NSC_HOME or nsc’s)'],
  ] as const) {
    command.addOption(new Option(flags, description).helpGroup(FOLDERS));
  }
  return command;
}

export function addSignerOption(command: Command): Command {
  return addKeyOption(
    command,
    'who signs: a public key whose seed is in the key folder, a file with a seed, the role of a scoped signing key, or a seed',
  );
}

export function addKeyOption(command: Command, description: string): Command {
  return command.option('-K, --private-key <key>', description);
}

export function addNameOption(command: Command, what: string): Command {
  return command.option('-n, --name <name>', `the name of the ${what}, in place of the operand`);
}

export function addAccountOption(command: Command): Command {
  return command.option('-a, --account <name>', 'the account (default: the current one)');
}

export function addTimeOptions(command: Command): Command {
  const forms = 'YYYY-MM-DD, or from now: 30m, 2h, 3d, 4w, 5M (months), 6y; 0 is no limit';
  return command
    .option('--start <time>', `valid from: ${forms}`)
    .option('--expiry <time>', `valid until: ${forms}`);
}

export function addTagOptions(command: Command): Command {
  return addList(addList(command, '--tag <tags>', 'add tags'), '--rm-tag <tags>', 'remove tags');
}

const LISTS = new WeakSet<Command>();

/** Lists have commas, or stand several times. */
export function addList(command: Command, flags: string, description: string): Command {
  LISTS.add(command);
  return command.option(flags, description, collect);
}

function collect(words: string, before: readonly string[] = []): string[] {
  return [...before, ...words.split(',').filter((word) => word !== '')];
}

/** @param of what they are the permissions of */
export function addPermissionOptions(command: Command, of = '', { remove = true } = {}): Command {
  for (const [flags, what] of [
    ['--allow-pub <subjects>', 'allow to publish'],
    ['--allow-sub <subjects>', 'allow to subscribe'],
    ['--allow-pubsub <subjects>', 'allow both'],
    ['--deny-pub <subjects>', 'forbid to publish'],
    ['--deny-sub <subjects>', 'forbid to subscribe'],
    ['--deny-pubsub <subjects>', 'forbid both'],
  ] as const) {
    addList(command, flags, `${what}${of}`);
  }
  command
    .option('--allow-pub-response [=count]', 'allow to publish to reply subjects, once or so often')
    .addOption(new Option('--max-responses <count>', 'the same').hideHelp())
    .option('--response-ttl <duration>', 'for how long a reply may come, such as 5s or 2m');
  if (remove) {
    addList(command, '--rm <subjects>', 'remove subjects from all of these');
    command.option('--rm-response-perms', 'remove the permission to reply');
  }
  return command;
}

export function addUserLimitOptions(command: Command, { remove = true } = {}): Command {
  command
    .option('--payload <bytes>', 'the largest message, such as 64k or 1MiB; -1 is no limit')
    .option('--data <bytes>', 'how much data; -1 is no limit')
    .option('--subs <count>', 'how many subscriptions; -1 is no limit');
  addBoolean(command, '--bearer', 'the token alone is enough to connect, without the key');
  addList(command, '--source-network <networks>', 'connect only from these, such as 10.0.0.0/8');
  addList(command, '--time <ranges>', 'connect only then, such as 08:00:00-17:30:00');
  command.option('--locale <zone>', 'the time zone of --time, such as Europe/Berlin');
  addList(
    command,
    '--conn-type <types>',
    'connect only so: STANDARD, WEBSOCKET, LEAFNODE, LEAFNODE_WS, MQTT, MQTT_WS, IN_PROCESS; or, to a ' +
      'coffer server, HTTP',
  );
  if (remove) {
    addList(command, '--rm-source-network <networks>', 'remove networks');
    addList(command, '--rm-time <starts>', 'remove ranges that start then');
    addList(command, '--rm-conn-type <types>', 'remove ways to connect');
  }
  return command;
}

/** One that may be taken back: `--flag=false` or `--no-flag`. */
export function addBoolean(command: Command, flag: `--${string}`, description: string): Command {
  return command
    .option(flag, `${description}; ${flag}=false takes it back`)
    .addOption(new Option(flag.replace('--', '--no-'), '').hideHelp());
}

/**
 * Takes flags as Go's do: `--bearer=false` besides `--no-bearer`, and an option whose value may be left out only with `=`, so
 * that it does not swallow the name behind it.
 */
function takeGoFlags(command: Command): void {
  const parse = command.parseOptions.bind(command);
  const optional = command.options.filter((option) => option.optional).map((option) => option.long);
  const boolean = command.options.filter((option) => option.isBoolean()).map((option) => option.long);
  command.parseOptions = (given: string[]) => {
    const end = given.indexOf('--');
    const flags = end < 0 ? given : given.slice(0, end);
    return parse([
      ...flags.map((word) => {
        const [, flag = word, value] = /^(--[^=]+)=(.*)$/s.exec(word) ?? [];
        if (value === undefined) return optional.includes(word) ? `${word}=1` : word;
        if (!boolean.includes(flag)) return word;
        if (/^(true|t|1)$/i.test(value)) return flag;
        return /^(false|f|0)$/i.test(value) ? flag.replace('--', '--no-') : word;
      }),
      ...given.slice(flags.length),
    ]);
  };
}
