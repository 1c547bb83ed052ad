import { userInfo } from 'node:os';
import type { BackupFacts } from '@coffer/client/admin';
import type { BackupContent, Restored } from '@coffer/server';
import { writeStream } from '../backup-file.js';
import { type ConnectionOptions, withAdmin } from '../connection.js';
import { during, Failure } from '../failure.js';
import { grantLine } from '../grants.js';
import { counted } from '../numbers.js';
import { note, print, printJson, table } from '../output.js';
import { askingOnce } from '../passphrase.js';
import { displayName, quote } from '../quote.js';

export async function create(
  path: string,
  options: ConnectionOptions & { force?: boolean; json?: boolean },
): Promise<void> {
  if (path === '-' && process.stdout.isTTY) {
    throw new Failure('a backup is not for a terminal: name a file, or lead the output into one');
  }
  if (path === '-' && options.json)
    throw new Failure('--json and the backup cannot both go to standard output');
  const facts = await withAdmin(options, (admin) =>
    during('failed to make a backup', writeStream(path, admin.backup(), { force: options.force ?? false })),
  );
  if (options.json) await printJson({ file: path, ...facts });
  else await (path === '-' ? note : print)(created(path, facts));
  const { records, auditLine } = facts.damaged;
  if (records === 0 && auditLine === 0) return;
  const found = [
    ...(records > 0 ? [`${counted(records, 'record')} of the store`] : []),
    ...(auditLine > 0 ? [`the audit log from line ${auditLine} on`] : []),
  ];
  throw new Failure(
    `the backup is whole and was kept, but what it was made of is damaged: ${found.join(' and ')}. Keep the earlier backups, and ` +
      'let "coffer backup verify" say what it is',
  );
}

function created(path: string, { storeId, backupId, bytes, records, auditHead }: BackupFacts): string {
  return [
    `Backup ${path === '-' ? 'made' : `in ${path}`}: ${size(bytes)}, ${counted(records, 'record')}`,
    `  Store:      ${storeId}`,
    `  Backup:     ${backupId}`,
    `  Audit head: ${auditHead.seq}:${auditHead.hash}`,
    'It opens with the root key that the store has now: keep a copy of that too, elsewhere.',
  ].join('\n');
}

interface ReadOptions {
  readonly rootKey?: string;
  readonly config?: string;
  readonly json?: boolean;
}

export async function verify(path: string, options: ReadOptions): Promise<void> {
  const { loadConfig, verifyBackup } = await import('@coffer/server');
  const { rootKey } = loadConfig({ flags: options, env: process.env });
  const content = await askingOnce((promptPassphrase) =>
    verifyBackup(path, { rootKey, promptPassphrase, onNotice }),
  );
  if (options.json) return printJson(content);
  await print(`${named(path)} is whole and sound\n${contentLines(content).join('\n')}`);
}

interface RestoreOptions extends ReadOptions {
  readonly stateDir?: string;
  readonly dev?: boolean;
  readonly mergeFrom?: readonly string[];
  readonly mergeRootKey?: string;
  readonly acceptDamage?: boolean;
  readonly verbose?: boolean;
}

export async function restore(path: string, options: RestoreOptions): Promise<void> {
  const { loadConfig, restoreBackup } = await import('@coffer/server');
  const { stateDir, rootKey, dev } = loadConfig({ flags: options, env: process.env });
  const { mergeFrom = [], mergeRootKey } = options;
  const restored = await askingOnce((promptPassphrase) =>
    restoreBackup(path, {
      rootKey,
      stateDir,
      dev,
      mergeFrom,
      mergeRootKey,
      acceptDamage: options.acceptDamage,
      by: userName(),
      promptPassphrase,
      onNotice,
    }),
  );
  if (options.json) return printJson({ stateDir, ...restored });
  const lines = [
    `${named(path)} is restored to ${stateDir}: every record was read back and opened${isDamaged(restored) ? ', but for these' : ''}`,
    ...damageLines(restored),
    ...contentLines(restored.content),
    '',
    ...(mergeFrom.length > 0 ? mergedLines(restored, options.verbose ?? false) : warning(restored)),
  ];
  await print(lines.join('\n'));
}

const isDamaged = ({ damage: { values, log } }: Restored): boolean => values.length > 0 || log !== undefined;

function damageLines({ damage: { values, log } }: Restored): string[] {
  const states = { changed: 'is damaged', missing: 'is gone', unknown: 'is of no secret' } as const;
  return [
    ...values.map(({ record, state, secret, version }) =>
      secret === undefined
        ? `  DAMAGED: the record ${record} ${states[state]}`
        : `  DAMAGED: ${displayName(secret)}, version ${version}: its value ${states[state]}; delete the version`,
    ),
    ...(log ? [`  DAMAGED: the audit log does not hold from line ${log.seq} on: ${log.reason}`] : []),
  ];
}

/** A user id without a name, as in a container, is told as a number. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${process.getuid?.()}`;
  }
}

const onNotice = (sentence: string): void => {
  process.stderr.write(`coffer: ${sentence}\n`);
};

const named = (path: string): string => (path === '-' ? 'The backup' : path);

function contentLines(content: BackupContent): string[] {
  const { storeId, backupId, madeAt, bytes, records, rootKey, audit, auditHead, serverKey } = content;
  const id = 'id' in rootKey && rootKey.id !== undefined ? ` ${rootKey.id}` : '';
  const rows = [
    ['Store:', `${storeId}${content.development ? ' (development)' : ''}`],
    ['Backup:', `${backupId}, made ${instant(madeAt)}, ${size(bytes)}`],
    ['Holds:', `${held(content)}; ${counted(records, 'record')}`],
    ['Root key:', `of kind ${rootKey.kind}:${id}`],
    [
      'Audit log:',
      audit.lines === 0 ? 'empty' : `lines ${audit.first} to ${auditHead.seq}, signed up to ${audit.signed}`,
    ],
    ['Audit head:', `${auditHead.seq}:${auditHead.hash}`],
    ['Server key:', serverKey],
  ];
  return table(rows.map(([label = '', value = '']) => [`  ${label}`, value])).split('\n');
}

const held = ({ secrets, versions, tokens, grants, revocations }: BackupContent): string =>
  `${counted(secrets, 'secret')} in ${counted(versions, 'version')}, ${counted(tokens, 'token')}, ${counted(grants, 'grant')}` +
  (revocations === 0 ? '' : `, ${counted(revocations, 'revocation')}`);

function warning({ content: { madeAt } }: Restored): string[] {
  return [
    `TOKENS AND IDENTITIES REVOKED, AND GRANTS REMOVED, after ${instant(madeAt)} COUNT AGAIN. If the old state folder, its audit log`,
    'or a newer backup is still there, restore again with --merge-from PATH. Otherwise, before you let anybody in: revoke them again',
    '(coffer token revoke ID, coffer identity revoke) and apply the newest policy (coffer policy apply FILE).',
  ];
}

function mergedLines(restored: Restored, verbose: boolean): string[] {
  const { tokensRevoked, identitiesRevoked, transitKeysRetired, grantsRemoved } = restored;
  const { newest, policyChanges, deletedSince, madeSince } = restored;
  const list = (lines: readonly string[]) => lines.map((line) => `  ${line}`);
  const secretLines = ({ secrets, versions }: Restored['deletedSince']) =>
    verbose
      ? [
          ...secrets.map((name) => displayName(name)),
          ...versions.map(({ name, version }) => `${displayName(name)}, version ${version}`),
        ]
      : [];
  const ofOthers = ({ secrets, versions }: Restored['deletedSince']) =>
    `${counted(secrets.length, 'secret')} and ${counted(versions.length, 'version')} of others`;
  const some = ({ secrets, versions }: Restored['deletedSince']) => secrets.length + versions.length > 0;
  return [
    tokensRevoked.length === 0
      ? 'No token of the backup was revoked since'
      : `${counted(tokensRevoked.length, 'token')} revoked since the backup: revoked here too`,
    ...list(tokensRevoked.map(({ id, name }) => `${id} ${quote(name)}`)),
    ...(identitiesRevoked.length === 0
      ? []
      : [
          `${counted(identitiesRevoked.length, 'revocation')} of identities since the backup: made here too` +
            (newest === undefined ? ', those that were lifted as well, which a log cannot vouch for' : ''),
        ]),
    ...list(identitiesRevoked.map(({ kind, value }) => `${kind} ${value}`)),
    ...(transitKeysRetired.length === 0
      ? []
      : [`${counted(transitKeysRetired.length, 'transit key')} retired since the backup: retired here too`]),
    ...list(transitKeysRetired.map(({ backend, publicKey }) => `${backend} ${publicKey}`)),
    ...(newest === undefined
      ? [
          policyChanges > 0
            ? `The policy was changed since (${counted(policyChanges, 'time')}), and a log does not tell how: GRANTS REMOVED SINCE COUNT ` +
              'AGAIN until you apply the newest policy (coffer policy apply FILE)'
            : 'No change of the policy since is in the log',
        ]
      : [
          grantsRemoved.length === 0
            ? `No grant was removed since, by the policy in ${newest}`
            : `${counted(grantsRemoved.length, 'grant')} removed since, by the policy in ${newest}: removed here too`,
          ...list(grantsRemoved.map(grantLine)),
        ]),
    ...(some(deletedSince)
      ? [
          `Deleted since, and there again: ${ofOthers(deletedSince)}${verbose ? '' : ' (--verbose names them)'}. Delete what must not be`,
          ...list(secretLines(deletedSince)),
        ]
      : []),
    ...(some(madeSince)
      ? [
          `Made since, and not in the backup: ${ofOthers(madeSince)}${verbose ? '' : ' (--verbose names them)'}`,
          ...list(secretLines(madeSince)),
        ]
      : []),
  ];
}

const instant = (time: Date): string => time.toISOString().replace(/\.\d+Z$/, 'Z');

function size(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${power === 0 ? bytes : (bytes / 1000 ** power).toFixed(1)} ${units[power]}`;
}
