import { type AuditTailState, counted, inspectAuditTail, type StoreState } from '@coffer/engine';
import { verify } from '@coffer/identity';
import { type Finding, looking, ok, problem, warning } from './finding.js';

const SUBJECT = 'audit log';
const DAY = 24 * 60 * 60 * 1000;
/** Clocks are set in small steps; more is a clock that was put back. */
const SLACK_MS = 2_000;
const OLD_BACKUP = 7 * DAY;

/** Whether the end of the audit log is a chain with the server's signature, and what it says of time and of backups. */
export async function checkAuditLog(
  stateDir: string,
  store: StoreState | undefined,
  { running, replica, now }: { readonly running: boolean; readonly replica: boolean; readonly now: Date },
): Promise<readonly Finding[]> {
  return looking(SUBJECT, async () => {
    const { storeId = '', keys } = store ?? {};
    const signatures = keys && {
      storeId,
      serverKey: keys.serverKey,
      verify: (message: Uint8Array, signature: Uint8Array, key: string) => verify(key, message, signature),
    };
    const tail = await inspectAuditTail(stateDir, { signatures, anchor: keys?.anchor });
    if (tail === undefined) return describeAbsent(stateDir, store, replica);
    return [describe(tail, running, now), ...checkClock(tail, now), ...checkBackup(tail, store, now)];
  });
}

/** One that was there is known by the store, as far as it opens; an instance that was refused at its first start has a replica, and never had a log. */
function describeAbsent(stateDir: string, store: StoreState | undefined, replica: boolean): Finding {
  if (store === undefined || store.keys?.anchor?.seq === 0)
    return ok(SUBJECT, 'there is none yet: the first start makes it');
  const none = `there is none in ${stateDir}/audit`;
  if (replica && store.keys === undefined)
    return warning(SUBJECT, `${none}: if this instance has served the store before, put it back`);
  return problem(SUBJECT, `${none}, and the store has had one: put it back`);
}

function describe(
  { lines, last, checkpoint, broken, anchored, unfinished }: AuditTailState,
  running: boolean,
  now: Date,
): Finding {
  if (broken !== undefined) {
    return problem(
      SUBJECT,
      `line ${broken.seq} does not hold: ${broken.reason}. Look at the whole log: "coffer audit verify"`,
    );
  }
  if (checkpoint?.signed === false) {
    return problem(
      SUBJECT,
      `the checkpoint in line ${checkpoint.seq} is not signed by this server: look at the whole log, "coffer audit verify"`,
    );
  }
  if (anchored === false) {
    return problem(
      SUBJECT,
      'it lacks a line that the store knows: it was cut, or put back to an earlier state, and no server starts with it. Put ' +
        'the newest log back',
    );
  }
  if (last === undefined) return ok(SUBJECT, 'it is empty');
  const signed =
    checkpoint === undefined ? 'no checkpoint among them' : `signed ${ago(checkpoint.time, now)}`;
  const torn = unfinished && !running ? '; a crash has torn the last one, which the next start mends' : '';
  return ok(
    SUBJECT,
    `the last ${lines} of ${counted(last.seq, 'line')} ${lines === 1 ? 'is' : 'are'} a chain, ${signed}${torn}`,
  );
}

function checkClock({ last }: AuditTailState, now: Date): Finding[] {
  if (last === undefined || last.time.getTime() <= now.getTime() + SLACK_MS) return [];
  return [
    problem(
      'clock',
      `it says ${now.toISOString()}, and the newest line of the audit log is of ${last.time.toISOString()}: set it right, ` +
        'for tokens expire by it',
    ),
  ];
}

function checkBackup(
  { backup, whole, lines }: AuditTailState,
  store: StoreState | undefined,
  now: Date,
): Finding[] {
  if (store === undefined || store.development) return [];
  if (backup === undefined) {
    const never = whole
      ? 'none was ever made'
      : `none was made in the last ${counted(lines, 'line')} of the audit log`;
    return [
      warning(
        'backup',
        `${never} with "coffer backup create": make one, or make sure that something else does`,
      ),
    ];
  }
  const last = `the last one was made ${ago(backup, now)}`;
  const old = now.getTime() - backup.getTime() > OLD_BACKUP;
  return [old ? warning('backup', `${last}: make one, "coffer backup create FILE"`) : ok('backup', last)];
}

/** In the unit that a person would choose. */
export function ago(time: Date, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - time.getTime()) / 1000));
  if (seconds < 2) return 'just now';
  const [size, unit] = UNITS.find(([size]) => seconds >= 2 * size) ?? [1, 'seconds'];
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

const UNITS: readonly (readonly [number, string])[] = [
  [86_400, 'days'],
  [3_600, 'hours'],
  [60, 'minutes'],
  [1, 'seconds'],
];
