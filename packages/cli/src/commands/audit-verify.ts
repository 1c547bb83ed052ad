import type { Client } from '@coffer/client';
import type { Admin } from '@coffer/client/admin';
import type { AuditTrust, AuditVerdict } from '@coffer/server';
import { type ConnectionOptions, withAdmin } from '../connection.js';
import { during, Failure } from '../failure.js';
import { counted } from '../numbers.js';
import { paint, print, printJson, table } from '../output.js';
import { askingOnce } from '../passphrase.js';
import { displayName, quote } from '../quote.js';
import { OF_ALL } from './audit.js';
import { type CheckedCopies, checkCopies, copiesTable } from './audit-verify-copies.js';

interface VerifyOptions extends ConnectionOptions {
  readonly expect?: string;
  readonly key?: string;
  readonly rootKey?: string;
  /** Of one instance, or of several that share a store. */
  readonly stateDir?: readonly string[];
  readonly own?: boolean;
  readonly json?: boolean;
}

type KnownLine = NonNullable<AuditTrust['known']>[number];

/** What came of it, and on whose word the key was trusted. */
interface Checked {
  readonly verdict: AuditVerdict;
  readonly keyFrom: string;
  /** Nobody but the log itself names the key. */
  readonly weak?: true;
  /** Of all instances' logs, where several share the store. */
  readonly copies?: readonly CheckedCopies[];
  /** The state folder, where several are looked at. */
  readonly folder?: string;
}

const EXPECT = '--expect';

export async function verify(options: VerifyOptions): Promise<void> {
  const { stateDir, rootKey, json } = options;
  const folders = stateDir ?? [];
  if (rootKey !== undefined && stateDir === undefined) {
    throw new Failure('--root-key opens the store in a state folder: name that with --state-dir');
  }
  const known = options.expect === undefined ? [] : [expectedLine(options.expect)];
  const key = options.key === undefined ? undefined : checkedKey(options.key);
  if (folders.length > 1) return verifySeveral(folders, { key, known, rootKey, json });
  const [folder] = folders;
  const checked =
    folder === undefined
      ? await verifyServer(options, key, known)
      : await verifyFiles(folder, rootKey, key, known);
  const problem = problemOf(checked);
  if (json) await printJson(plain(checked, problem));
  if (problem !== undefined) throw new Failure(problem);
  if (!json) await print(report(checked));
}

const plain = ({ verdict, keyFrom, copies, folder }: Checked, problem: string | undefined) => ({
  ...(folder !== undefined && { folder }),
  ...verdict,
  keyFrom,
  whole: problem === undefined,
  ...(copies && {
    copies: copies.map(({ verdict, problem, ...rest }) => ({
      ...rest,
      ...verdict,
      whole: problem === undefined,
    })),
  }),
});

/** The logs of several instances, each by itself; one that is broken fails after all were looked at. */
async function verifySeveral(
  folders: readonly string[],
  {
    key,
    known,
    rootKey,
    json,
  }: {
    key: string | undefined;
    known: readonly KnownLine[];
    rootKey: string | undefined;
    json: boolean | undefined;
  },
): Promise<void> {
  if (known.length > 0)
    throw new Failure('--expect is a line of one log: verify that state folder by itself');
  const all: Checked[] = [];
  for (const folder of folders) all.push({ ...(await verifyFiles(folder, rootKey, key, [])), folder });
  const problems = all.flatMap((one) => {
    const problem = problemOf(one);
    return problem === undefined ? [] : [`${displayName(one.folder ?? '')}: ${problem}`];
  });
  const stores = new Set(all.map(({ verdict }) => `${verdict.storeId} ${verdict.key}`));
  if (stores.size > 1) problems.push('the logs are of different stores, or signed by different keys');
  const instances = new Set(all.map(({ verdict }) => verdict.instance));
  if (instances.size < all.length)
    problems.push('two of the state folders have the log of the same instance');
  if (json)
    await printJson({ logs: all.map((one) => plain(one, problemOf(one))), whole: problems.length === 0 });
  if (problems.length > 0) throw new Failure(problems.join('; '));
  if (json) return;
  for (const one of all) await print(`${displayName(one.folder ?? '')}:\n${report(one)}`);
}

/** All lines come here: the server's word is taken for nothing but where to look, and for its key if nobody named one. */
async function verifyServer(
  options: VerifyOptions,
  key: string | undefined,
  known: readonly KnownLine[],
): Promise<Checked> {
  const { auditVerifier } = await import('@coffer/server');
  const check = async (admin: Admin, client: Client): Promise<Checked> => {
    const { head, anchor, storeId, serverKey } = await admin.auditHead();
    if (key !== undefined && key !== serverKey) throw otherKey(`the server at ${client.server}`, serverKey);
    // Before the log is read: what was copied by now is in it.
    const instances = options.own ? undefined : await admin.auditInstances();
    const trust = { storeId, key: serverKey };
    const copied = instances?.chains.find(({ chain }) => chain === instances.own?.chain);
    const verifier = auditVerifier({
      ...trust,
      instance: instances?.own?.instance,
      known: [
        { ...anchor, from: 'the store' },
        { ...head, from: 'the server' },
        ...(copied ? [{ ...copied.head, from: 'the copies' }] : []),
        ...known,
      ],
    });
    for await (const line of admin.audit()) if (!verifier.add(Buffer.from(line))) break;
    const keyFrom = key === undefined ? `the server at ${client.server} says so` : '--key';
    const verdict = verifier.end();
    const copies =
      instances?.own && verdict.broken === undefined
        ? await checkCopies({ admin, instances, own: verdict, trust })
        : undefined;
    return { verdict, keyFrom, ...(copies && { copies }) };
  };
  return withAdmin(options, (admin, client) =>
    during('failed to read the audit log', check(admin, client), OF_ALL),
  );
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
function problemOf({ verdict, copies }: Checked): string | undefined {
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
  if (signed === 0) return 'no line of the audit log is signed';
  const lost = copies?.flatMap(({ problem }) => problem ?? []) ?? [];
  return lost.length === 0 ? undefined : lost.join('; ');
}

function report({ verdict, keyFrom, weak, copies }: Checked): string {
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
      `up to line ${signed}, ${counted(checkpoints, 'checkpoint')}${unsigned > 0 ? `; ${unsigned} behind it are chained, not signed` : ''}`,
    ],
    ['Known lines:', known.map(({ seq, from, state }) => `${seq} of ${from} ${state}`).join(', ') || 'none'],
    ['Server key:', `${key ?? ''} (${keyFrom})`],
    ['Store:', storeId ?? ''],
    ...(verdict.instance === undefined ? [] : [['Instance:', verdict.instance]]),
    ['Head:', `${head.seq}:${head.hash}`],
  ];
  return [
    paint('green', 'The audit log holds.'),
    ...table(rows.map(([label = '', value = '']) => [`  ${label}`, displayName(value)])).split('\n'),
    ...remarks(verdict),
    ...(copies && copies.length > 0
      ? [
          'So do the copies of all instances’ logs:',
          ...table(copiesTable(copies, verdict).map((row) => row.map(displayName)))
            .split('\n')
            .map((row) => `  ${row}`),
          ...copies.flatMap((one) =>
            one.own ? [] : remarks(one.verdict).map((text) => `${one.chain}: ${text}`),
          ),
        ]
      : []),
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
