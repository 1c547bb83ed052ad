import type { Client } from '@coffer/client';
import type { Admin } from '@coffer/client/admin';
import type { AuditTrust, AuditVerdict } from '@coffer/server';
import { type ConnectionOptions, withAdmin } from '../connection.js';
import { during, Failure } from '../failure.js';
import { paint, print, printJson, table } from '../output.js';
import { askingOnce } from '../passphrase.js';
import { displayName, quote } from '../quote.js';

interface VerifyOptions extends ConnectionOptions {
  readonly expect?: string;
  readonly key?: string;
  readonly rootKey?: string;
  readonly stateDir?: string;
  readonly json?: boolean;
}

type KnownLine = NonNullable<AuditTrust['known']>[number];

/** What came of it, and on whose word the key was trusted. */
interface Checked {
  readonly verdict: AuditVerdict;
  readonly keyFrom: string;
  /** Nobody but the log itself names the key. */
  readonly weak?: true;
}

const EXPECT = '--expect';

export async function verify(options: VerifyOptions): Promise<void> {
  const { stateDir, rootKey, json } = options;
  if (rootKey !== undefined && stateDir === undefined) {
    throw new Failure('--root-key opens the store in a state folder: name that with --state-dir');
  }
  const known = options.expect === undefined ? [] : [expectedLine(options.expect)];
  const key = options.key === undefined ? undefined : checkedKey(options.key);
  const checked =
    stateDir === undefined
      ? await verifyServer(options, key, known)
      : await verifyFiles(stateDir, rootKey, key, known);
  const problem = problemOf(checked);
  if (json) await printJson({ ...checked.verdict, keyFrom: checked.keyFrom, whole: problem === undefined });
  if (problem !== undefined) throw new Failure(problem);
  if (!json) await print(report(checked));
}

/** All lines come here: the server's word is taken for nothing but where to look, and for its key if nobody named one. */
async function verifyServer(
  options: ConnectionOptions,
  key: string | undefined,
  known: readonly KnownLine[],
): Promise<Checked> {
  const { auditVerifier } = await import('@coffer/server');
  const check = async (admin: Admin, client: Client): Promise<Checked> => {
    const { head, anchor, storeId, serverKey } = await admin.auditHead();
    if (key !== undefined && key !== serverKey) throw otherKey(`the server at ${client.server}`, serverKey);
    const verifier = auditVerifier({
      storeId,
      key: serverKey,
      known: [{ ...anchor, from: 'the store' }, { ...head, from: 'the server' }, ...known],
    });
    for await (const line of admin.audit()) if (!verifier.add(Buffer.from(line))) break;
    const keyFrom = key === undefined ? `the server at ${client.server} says so` : '--key';
    return { verdict: verifier.end(), keyFrom };
  };
  return withAdmin(options, (admin, client) => during('failed to read the audit log', check(admin, client)));
}

async function verifyFiles(
  stateDir: string,
  rootKey: string | undefined,
  key: string | undefined,
  known: readonly KnownLine[],
): Promise<Checked> {
  const { auditWitness, verifyAuditLog } = await import('@coffer/server');
  const store =
    rootKey === undefined
      ? undefined
      : await askingOnce((promptPassphrase) => auditWitness(stateDir, rootKey, promptPassphrase));
  if (store && key !== undefined && key !== store.serverKey) {
    throw otherKey(`the store in ${stateDir}`, store.serverKey);
  }
  const verdict = await verifyAuditLog(stateDir, {
    storeId: store?.storeId,
    key: key ?? store?.serverKey,
    known: [...(store?.anchor ? [{ ...store.anchor, from: 'the store' }] : []), ...known],
  });
  if (key !== undefined) return { verdict, keyFrom: '--key' };
  if (store) return { verdict, keyFrom: `the store in ${stateDir}, opened with its root key` };
  return { verdict, keyFrom: 'the log itself', weak: true };
}

const otherKey = (who: string, key: string) =>
  new Failure(
    `${who} signs with the key ${key}, which is not the one of --key: it is another server, or the key was exchanged`,
  );

/** Why the log is not to be trusted, in a sentence. */
function problemOf({ verdict }: Checked): string | undefined {
  const { broken, entries, signed, known, first } = verdict;
  if (broken) {
    const { seq, reason, file, fileLine } = broken;
    const place = file === undefined ? '' : ` (${file}, line ${fileLine})`;
    const before = signed > 0 ? `; it is signed up to line ${signed}` : '';
    return `the audit log is broken at line ${seq}${place}: ${reason}${before}`;
  }
  const retired = known.find(({ from, state }) => from === EXPECT && state === 'retired');
  if (retired) {
    return (
      `line ${retired.seq} of --expect was retired and cannot be checked: the log begins with line ${first}. Without ` +
      '--expect it holds; keep a newer head'
    );
  }
  if (entries === 0) return 'the audit log is empty';
  return signed === 0 ? 'no line of the audit log is signed' : undefined;
}

function report({ verdict, keyFrom, weak }: Checked): string {
  const { entries, first, firstTime, lastTime, checkpoints, signed, head, known, key, storeId } = verdict;
  const unsigned = head.seq - signed;
  const rows = [
    [
      'Entries:',
      `${entries}, lines ${first} to ${head.seq}${first > 1 ? '; those before were retired' : ''}`,
    ],
    ['Times:', `${firstTime ?? ''} to ${lastTime ?? ''}`],
    [
      'Signed:',
      `up to line ${signed}, ${checkpoints} checkpoint${checkpoints === 1 ? '' : 's'}${unsigned > 0 ? `; ${unsigned} behind it are chained, not signed` : ''}`,
    ],
    ['Known lines:', known.map(({ seq, from, state }) => `${seq} of ${from} ${state}`).join(', ') || 'none'],
    ['Server key:', `${key ?? ''} (${keyFrom})`],
    ['Store:', storeId ?? ''],
    ['Head:', `${head.seq}:${head.hash}`],
  ];
  return [
    paint('green', 'The audit log holds.'),
    ...table(rows.map(([label = '', value = '']) => [`  ${label}`, displayName(value)])).split('\n'),
    ...remarks(verdict),
    ...(weak ? [WEAK] : []),
    'Keep the head where this machine cannot change it, and give it to --expect the next time.',
  ].join('\n');
}

const WEAK =
  'ONLY THE LOG ITSELF names the key: this proves that one key signed all of it, and not whose. Who can write the files could have ' +
  'made it anew.\nName the server’s key with --key, or let the store say it with --root-key.';

function remarks({ remarks, openIntents }: AuditVerdict): string[] {
  return [
    ...remarks.map(({ seq, time, action, target }) =>
      ['Note:', `line ${seq}, ${displayName(time)}:`, displayName(action), displayName(target ?? '')]
        .join(' ')
        .trimEnd(),
    ),
    ...(openIntents.length > 0
      ? [`Note: changes begun and not closed (under way, or a crash's): lines ${openIntents.join(', ')}`]
      : []),
  ];
}

function expectedLine(text: string): KnownLine {
  const [, seq, hash] = /^([1-9]\d{0,14}):([0-9a-fA-F]{64})$/.exec(text) ?? [];
  if (seq === undefined || hash === undefined) {
    throw new Failure(
      `invalid --expect ${quote(text)}: write SEQ:HASH, as "coffer audit verify" prints the head`,
    );
  }
  return { seq: Number(seq), hash: hash.toLowerCase(), from: EXPECT };
}

function checkedKey(text: string): string {
  if (/^N[A-Z2-7]{55}$/.test(text)) return text;
  throw new Failure(
    `invalid --key ${quote(text)}: a server's public key is N and 55 letters and digits; "coffer whoami" shows it`,
  );
}
