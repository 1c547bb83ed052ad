import type { Command } from 'commander';
import { actOnServer, defineCommand, examples } from './define.js';

/** Declares what reads the audit log. */
export function defineAuditCommands(program: Command): void {
  const commands = () => import('./commands/audit.js');
  const audit = defineCommand(program, 'audit', 'read and verify the audit log').helpGroup('Administration:');

  const tail = defineCommand(
    audit,
    'tail',
    'print the last entries',
    'In words, a line each, or with --json exactly as they stand in the log. The entry for this reading is not among them.',
  )
    .option('-n, --lines <number>', 'how many (default: 10)')
    .option('-f, --follow', 'go on with new ones as they are written');
  actOnServer(addReadingOptions(tail), async (options) => (await commands()).tail(options));
  examples(
    tail,
    'coffer audit tail -n 50',
    'coffer audit tail -f --json | jq -r "select(.authorized == false)"',
    'sudo coffer audit tail --state-dir /var/lib/coffer',
  );

  const query = defineCommand(
    audit,
    'query',
    'print entries that match',
    'All of these that are given must hold. Times are RFC 3339, a day such as 2026-11-22 (UTC), or so long ago: 90m, 2h, 7d. ' +
      'Where several instances share the store, their entries come in the order of time.',
  )
    .option('--principal <id>', 'by this principal: its id, such as token:0123456789abcdef, or its name')
    .option('--secret <pattern>', 'about these secrets; * stands for any characters')
    .option('--action <action>', 'get, info, put, create-version, activate, delete, apply-policy, …')
    .option('--application <pattern>', 'of requests that claimed to be for these applications')
    .option('--host <pattern>', 'of requests that claimed to come from these hosts')
    .option('--since <time>', 'from this time on')
    .option('--until <time>', 'up to this time')
    .option('--own', 'of several instances that share a store, only what the asked one wrote')
    .option('--instance <id>', 'of several, only what this one wrote, by the copies of its log');
  actOnServer(addReadingOptions(query, SEVERAL), async (options) => (await commands()).query(options));
  examples(
    query,
    'coffer audit query --secret "prod/*" --action get --since 7d',
    'coffer audit query --principal ci --since 2026-11-01 --until 2026-12-01 --json > november.jsonl',
  );

  const verify = defineCommand(
    audit,
    'verify',
    'check that nobody changed the log',
    'Reads all of it here, from a server or from a state folder, and checks the number and the hash of every line, the ' +
      'signatures, and the lines that the store and you know. Says which public key it trusted, and on whose word. Where several ' +
      'instances share the store, the copies of all of their logs, too. Exit status 1 when a log is broken.',
  )
    .option('--expect <seq:hash>', 'a line that the log must have: the head that an earlier run printed')
    .option(
      '--key <public>',
      'the server’s public key (N…), from your notes; without it, on the word of where the log is',
    )
    .option(
      '--root-key <spec>',
      'with --state-dir: open the store with its root key, for its key and the line that it knows',
    )
    .option('--state-dir <dir>', `read the files in this state folder, not from a server${SEVERAL}`, gather)
    .option('--own', 'of several instances that share a store, only the log of the asked one')
    .option('--json', 'print JSON');
  actOnServer(verify, async (options) => (await import('./commands/audit-verify.js')).verify(options));
  examples(
    verify,
    'coffer audit verify',
    'coffer audit verify --expect 1234:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    'sudo coffer audit verify --state-dir /var/lib/coffer --key NCD54R5IC7YP5A2EQW7SZZOBWGTLPU7KZDWWGDM6GNHK2MQVLZAOUCQY',
  );
}

const SEVERAL = '; may be given for each of several instances';

const gather = (dir: string, dirs: readonly string[] = []): readonly string[] => [...dirs, dir];

function addReadingOptions(command: Command, several = ''): Command {
  const stateDir = `read the files in this state folder, not from a server${several}`;
  return (
    several === ''
      ? command.option('--state-dir <dir>', stateDir)
      : command.option('--state-dir <dir>', stateDir, gather)
  ).option('--json', 'print the log’s own JSON lines');
}
