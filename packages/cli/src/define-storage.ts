import type { Command } from 'commander';
import { act, actOnServer, addJsonOption, defineCommand, examples } from './define.js';

/** Declares what looks at a server's store, and after one that several instances share. */
export function defineStorage(program: Command): void {
  const commands = () => import('./commands/storage.js');
  const storage = defineCommand(
    program,
    'storage',
    'look at the store, and after one that several instances share',
  ).helpGroup('Administration:');

  const status = defineCommand(
    storage,
    'status',
    'show how the store is, and who shares it',
    'As the server that is asked sees it. The exit status is 1 if changes are refused.',
  );
  actOnServer(addJsonOption(status), async (options) => (await commands()).status(options));

  const replicas = defineCommand(
    storage,
    'replicas <number>',
    'keep a shared store on 1, 3 or 5 servers',
    'While all goes on; the servers copy in the background.',
  );
  actOnServer(addJsonOption(replicas), async (options, number) =>
    (await commands()).replicas(number, options),
  );
  examples(replicas, 'coffer storage replicas 5');

  const forget = defineCommand(
    storage,
    'forget <member>',
    'wait no more for an instance of a shared store that will not come back',
    'What is deleted is kept until every instance has heard of it, so one that is gone for good is to be forgotten. "coffer storage ' +
      'status" lists them, by id and name. One that answers is refused, and so is one that was heard of in the last 35 seconds ' +
      'unless it said that it ends: stop it first. It is asked of another instance. One that comes back all the same takes over ' +
      'what the others have: what only it had is gone.',
  );
  actOnServer(addJsonOption(forget), async (options, member) => (await commands()).forget(member, options));
  examples(forget, 'coffer storage forget 0123456789abcdef');

  const heal = defineCommand(
    storage,
    'heal',
    'bring back what a shared store has lost, and lift its alarm',
    'Compares the replicas of all instances with the store, and brings back the newest of each record. What was deleted or revoked ' +
      'stays so. Have all instances run that can: what only an absent one has is not brought back, so that each of those is to be ' +
      'named with --without. Look with --dry-run first, which says too whether it would be refused. While it works no instance takes ' +
      'changes; where nothing is wrong nothing is stopped.',
  )
    .option('--dry-run', 'say what would be brought back, and change nothing')
    .option('--give-up-damaged', 'set records aside that are damaged, and that no instance has')
    .option(
      '--without <member...>',
      'go on without members that do not answer, or whose replica does not count, by id or name',
    );
  actOnServer(addJsonOption(heal), async (options) => (await commands()).heal(options));
  examples(
    heal,
    'coffer storage heal --dry-run',
    'coffer storage heal',
    'coffer storage heal --without 0123456789abcdef',
  );

  const setAside = defineCommand(
    storage,
    'set-aside',
    'show how much heals of a shared store have set aside, or remove it',
    'Where a record has two futures, a heal keeps the one that lost, and what is left of a damaged one that nobody has: sealed as ' +
      'it was, in the bucket, whose room it takes. Have all instances run before you remove it: one that was away at that heal, ' +
      'and had some of it, raises the alarm when it comes back.',
  ).option('--remove', 'remove it, for good');
  actOnServer(addJsonOption(setAside), async (options) => (await commands()).setAside(options));
  examples(setAside, 'coffer storage set-aside', 'coffer storage set-aside --remove');

  const migrate = defineCommand(
    storage,
    'migrate',
    'move a store into NATS JetStream, or out of it',
    'Without a server: stop it first, and out of JetStream all of its instances. The configuration names the bucket in both ' +
      'directions. Every record is read back and compared before the store counts as moved; what was there is kept, and opens no ' +
      'more. Repeat the command if it is interrupted.',
  )
    .requiredOption('--to <kind>', 'jetstream or embedded')
    .option(
      '--state-dir <dir>',
      'where the store, or this instance’s replica, is (default: that of the server)',
    )
    .option('--root-key <spec>', 'the root key of the store (default: that of the server)')
    .option('--config <file>', 'the configuration file of the server')
    .option(
      '--force',
      'for --to embedded, when JetStream is lost: what this instance’s replica has is the store; newer changes are not in it',
    );
  act(addJsonOption(migrate), async (options) =>
    (await import('./commands/storage-migrate.js')).migrate(options),
  );
  examples(
    migrate,
    'coffer storage migrate --to jetstream --config /etc/coffer/coffer.yaml',
    'coffer storage migrate --to embedded --config /etc/coffer/coffer.yaml',
  );
}
