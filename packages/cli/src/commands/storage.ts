import type { HealReport, MemberName, StorageAlarm, StorageStatus } from '@coffer/client/admin';
import { type ConnectionOptions, withAdmin } from '../connection.js';
import { during, Ending, Failure } from '../failure.js';
import { counted } from '../numbers.js';
import { paint, print, printJson, table } from '../output.js';
import { displayText } from '../quote.js';
import { requireMembers } from '../without.js';
import { LACKS_ROOT_KEY } from './keys.js';

type Options = ConnectionOptions & { readonly json?: boolean };

export async function status(options: Options): Promise<void> {
  const found = await withAdmin(options, (admin) => during('failed to look at the store', admin.storage()));
  await (options.json ? printJson(found) : print(describe(found)));
  if (!found.writable) throw new Ending(1);
}

export async function replicas(text: string, options: Options): Promise<void> {
  if (!/^[135]$/.test(text)) throw new Failure('a store is kept on 1, 3 or 5 servers');
  const wanted = Number(text);
  await withAdmin(options, (admin) =>
    during('failed to change the replicas', admin.setStorageReplicas(wanted)),
  );
  if (options.json) return printJson({ replicas: wanted });
  await print(
    `The store is kept on ${counted(wanted, 'server')}: "coffer storage status" shows how far they are.`,
  );
}

export async function forget(member: string, options: Options): Promise<void> {
  const { forgotten, alarm } = await withAdmin(options, async (admin) => {
    const forgotten = await during('failed to forget the member', admin.forgetMember(member));
    // It is forgotten, whatever comes of this question.
    const found = options.json ? undefined : await admin.storage().catch(() => undefined);
    return { forgotten, alarm: found?.shared?.alarm };
  });
  if (options.json) return printJson(forgotten);
  const gone = alarm ? ' There is an alarm: what only this member has is not brought back by the heal.' : '';
  await print(`The member ${named(forgotten)} is forgotten.${gone}`);
}

export async function heal({
  dryRun = false,
  giveUpDamaged = false,
  without = [],
  ...options
}: Options & { dryRun?: boolean; giveUpDamaged?: boolean; without?: string[] }): Promise<void> {
  requireMembers(without);
  const { report, members } = await withAdmin(options, async (admin) => {
    const report = await during(
      'failed to heal the store',
      admin.healStorage({ dryRun, giveUpDamaged, without }),
    );
    // It is done: without their names they are told by their ids.
    const found = options.json ? undefined : await admin.storage().catch(() => undefined);
    return { report, members: found?.shared?.members ?? [] };
  });
  if (options.json) return printJson(report);
  await print(describeHeal(report, namesOf(members)));
}

export async function setAside({
  remove = false,
  ...options
}: Options & { remove?: boolean }): Promise<void> {
  const asked = remove ? 'failed to remove what was set aside' : 'failed to look at what was set aside';
  const found = await withAdmin(options, (admin) => during(asked, admin.setAside({ remove })));
  if (options.json) return printJson(found);
  const { records, bytes } = found;
  const much = `${counted(records, 'record')}, ${amount(bytes)}`;
  if (records === 0) return print('Nothing is set aside.');
  await print(
    remove
      ? `Removed: ${much}.`
      : `Set aside: ${much}. When nobody wants to look at it any more: coffer storage set-aside --remove`,
  );
}

/** By both, since several may have a name. */
const named = ({ instance, name }: MemberName): string =>
  name === '' || name === instance ? instance : `${displayText(name)} (${instance})`;

type Names = (instance: string) => string;

function namesOf(members: readonly MemberName[]): Names {
  const names = new Map(members.map((member) => [member.instance, named(member)]));
  return (instance) => names.get(instance) ?? instance;
}

function describe(found: StorageStatus): string {
  const full = `${amount(found.usedBytes)}${found.quotaBytes === undefined ? '' : ` of ${amount(found.quotaBytes)}`}`;
  const { shared } = found;
  if (!shared) {
    const room = found.writable ? '' : `\n${paint('red', 'Changes are refused: there is no room.')}`;
    return `Store: in the state folder, ${full}${room}`;
  }
  const { bucket, servers, members, alarm, problem } = shared;
  const who = namesOf(members);
  return [
    `Store: the bucket ${bucket} in NATS JetStream, ${describeBucket(shared)}`,
    describeReplica(shared, full),
    ...(alarm ? [paint('red', describeAlarm(alarm, who))] : []),
    ...(problem && !alarm ? [paint('red', `Changes are refused: ${displayText(problem.message)}`)] : []),
    ...(found.writable || problem || alarm ? [] : [paint('red', NO_ROOM_HERE)]),
    ...describeFilling(shared),
    ...(shared.lacksRootKey ? [paint('yellow', LACKS_ROOT_KEY)] : []),
    ...(shared.sync === 'lazy' ? [paint('yellow', LAZY)] : []),
    `Changes since the start: ${shared.conflicts} overtaken and made again, ${shared.inDoubt} in doubt for a time`,
    ...describeMajority(shared),
    ...(servers.length === 0 ? [] : [table([['SERVER', 'STATE'], ...servers.map(serverRow(shared))])]),
    table([['MEMBER', 'NAME', 'VERSION', 'CONFIRMED', 'SEEN', 'STATE'], ...members.map(memberRow(shared))]),
    ...describeAway(shared),
  ].join('\n');
}

const NO_ROOM_HERE =
  'Changes are refused at this instance: there is no room on the disk of its state folder (storage.minFreeBytes, quotaBytes).';
const LAZY =
  'The servers acknowledge before they sync: a power cut may lose what was acknowledged. Give them "sync_interval: always".';

type Shared = NonNullable<StorageStatus['shared']>;

function describeBucket({ replicas, bytes, maxBytes, sync }: Shared): string {
  const limit = maxBytes === undefined ? 'no limit' : amount(maxBytes);
  const share =
    bytes === undefined || maxBytes === undefined ? '' : ` (${Math.floor((100 * bytes) / maxBytes)} %)`;
  const size =
    bytes === undefined ? 'of a size that its servers do not say' : `${amount(bytes)} of ${limit}${share}`;
  const synced = {
    always: 'synced always',
    stated: 'synced always, as its operator says',
    lazy: 'synced now and then',
  };
  return `on ${counted(replicas, 'server')}, ${size}, ${synced[sync]}`;
}

/** The rule of the server's log, too. */
const NEARLY_FULL = 0.9;

function describeFilling({ bucket, bytes = 0, maxBytes, problem }: Shared): string[] {
  if (maxBytes === undefined || problem?.code === 'storage_full' || bytes < NEARLY_FULL * maxBytes) return [];
  const how = `delete what is not needed, or give it more ("nats stream edit KV_${bucket} --max-bytes BYTES")`;
  return [paint('yellow', `The bucket is nearly full: ${how}.`)];
}

function describeReplica(shared: Shared, full: string): string {
  const { instance, connected, replicaAgeMs, replicaSequence, streamSequence } = shared;
  const age = replicaAgeMs === undefined ? 'not heard of yet' : `${(replicaAgeMs / 1000).toFixed(1)} s old`;
  const far = `at ${replicaSequence}${streamSequence === undefined ? '' : ` of ${streamSequence}`}`;
  return `Replica of ${instance}: ${full}, ${far}, ${age}${connected ? '' : ', not connected'}`;
}

function describeAlarm({ kind, message, instance, at }: StorageAlarm, who: Names): string {
  return `Alarm (${kind}), raised by ${who(instance)} at ${instant(at)}: ${displayText(message)}`;
}

/** The rule of “coffer doctor”, too. */
function describeMajority({ servers }: Shared): string[] {
  if (servers.length === 0) return [];
  if (!servers.some(({ leader }) => leader)) return [paint('red', NO_LEADER)];
  const away = servers.filter(({ current }) => !current).length;
  if (away < servers.length / 2) return [];
  return [
    paint(
      'red',
      `${away} of ${counted(servers.length, 'server')} ${away === 1 ? 'is' : 'are'} away or behind: without a majority nothing can be changed`,
    ),
  ];
}

const NO_LEADER =
  'None of the servers leads, and nothing can be changed: more than half of them are away, or they choose one at this moment.';

function serverRow({ servers }: Shared) {
  const isLed = servers.some(({ leader }) => leader);
  return ({ name, leader, current }: Shared['servers'][number]): string[] => {
    const follows = isLed ? ['current', 'away or behind'] : ['answers', 'not known'];
    return [displayText(name), leader ? 'leader' : (follows[current ? 0 : 1] ?? '')];
  };
}

/** While an instance hears of nobody, it cannot tell who is there. */
const HEARD_MS = 10_000;

/** In an alarm a replica becomes older and older, and the members go on to say that they are there, as long as a server leads. */
const hearsOthers = ({ connected, replicaAgeMs = Number.POSITIVE_INFINITY, alarm, servers }: Shared) =>
  connected && (replicaAgeMs < HEARD_MS || (alarm !== undefined && servers.some(({ leader }) => leader)));

function memberRow(shared: Shared) {
  const self = shared.instance;
  const hears = hearsOthers(shared);
  const stateOf = ({ instance, alive, ended, lacksRootKey }: Shared['members'][number]): string => {
    if (instance === self) return 'this one';
    if (!hears) return 'not known';
    if (alive) return lacksRootKey ? 'lacks the root key' : 'alive';
    return ended ? 'ended' : 'away';
  };
  return (member: Shared['members'][number]): string[] => [
    member.instance,
    displayText(member.name),
    displayText(member.version),
    String(member.confirmed),
    instant(member.seenAt),
    stateOf(member),
  ];
}

/** What keeps the others waiting, and what to do if it is for ever. */
function describeAway(shared: Shared): string[] {
  // In an alarm what they have may be needed.
  if (!hearsOthers(shared) || shared.alarm) return [];
  const away = shared.members.filter(({ instance, alive }) => !alive && instance !== shared.instance);
  if (away.length === 0) return [];
  const names = away.map(({ instance }) => `"coffer storage forget ${instance}"`).join(', ');
  return [
    paint(
      'yellow',
      `${counted(away.length, 'member')} ${away.length === 1 ? 'is' : 'are'} away, for which what is deleted, and keys that were replaced, ` +
        `are kept: start ${away.length === 1 ? 'it' : 'them'}; or, for one that will not come back: ${names}`,
    ),
  ];
}

function describeHeal(report: HealReport, who: Names): string {
  const { dryRun, alarm, refusal, compared, absent, restored, removed } = report;
  const { forks, taken, foreign, setAside, damaged } = report;
  const wouldBe = (count: number) => (dryRun ? 'would be' : count === 1 ? 'was' : 'were');
  return [
    alarm ? describeAlarm(alarm, who) : 'There is no alarm.',
    `Compared the replicas of ${compared.map(who).join(', ') || 'nobody'}.`,
    ...(absent.length === 0
      ? []
      : [
          paint(
            'yellow',
            `Not there, or reading the store anew, so that what only they have is not brought back: ${absent.map(who).join(', ')}.`,
          ),
        ]),
    `${counted(restored, 'record')} and ${counted(removed, 'removal')} ${dryRun ? 'would be' : 'were'} brought back.`,
    ...(foreign > 0
      ? [
          `${counted(foreign, 'message')} in the bucket that no instance writes ${wouldBe(foreign)} removed: who else may write there?`,
        ]
      : []),
    ...(setAside > 0
      ? [
          `${counted(setAside, 'record')} ${wouldBe(setAside)} set aside: what lost, or may have, and what does not open.`,
        ]
      : []),
    ...forks.map(
      ({ key, keptAs, winner, other, secret }) =>
        `The ${secret === undefined ? `record ${key}` : `secret ${displayText(secret)}`} has two futures: that of ${who(winner)} ${dryRun ? 'would win' : 'won'}, that of ${who(other)} ${dryRun ? 'would be' : 'is'} kept as ${keptAs}.`,
    ),
    ...damaged.map(
      ({ key, keptAs }) =>
        `The record ${key} is damaged, and nobody has it: ${dryRun ? '--give-up-damaged keeps' : 'kept'} what is left of it as ${keptAs}.`,
    ),
    ...taken.map(
      (one) =>
        `${TAKEN[one.what] ?? one.what} ${displayText(targetOf(one))}: ${dryRun ? 'would be ' : ''}taken away, as in the other future.`,
    ),
    ...(alarm && !dryRun ? ['The alarm is lifted.'] : []),
    ...(refusal
      ? [paint('yellow', `Without --dry-run this would be refused: ${displayText(refusal.message)}`)]
      : []),
  ].join('\n');
}

const TAKEN: Readonly<Record<string, string>> = {
  token: 'Token',
  identity: 'Identity',
  grant: 'Grant',
  'transit-key': 'Transit key',
  issued: 'Operators’ and accounts’ tokens older than',
  secret: 'Secret',
  version: 'Version',
};

const targetOf = ({ target, version }: HealReport['taken'][number]): string =>
  version === undefined ? target : `${version} of ${target}`;

const amount = (bytes: number): string =>
  bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

/** RFC 3339 in UTC, to the second. */
const instant = (time: Date): string => time.toISOString().replace(/\.\d+Z$/, 'Z');
