import { paint } from './output.js';
import { displayName } from './quote.js';

/** What an entry may have; nothing of it is certain, since the log may be damaged. */
interface Entry {
  readonly seq?: unknown;
  readonly time?: unknown;
  readonly instance?: unknown;
  readonly principal?: {
    readonly id?: unknown;
    readonly user?: unknown;
    readonly ip?: unknown;
    readonly application?: unknown;
    readonly host?: unknown;
  };
  readonly action?: unknown;
  readonly authorized?: unknown;
  readonly secret?: unknown;
  readonly secretVersion?: unknown;
  /** Of a secret that lies elsewhere. */
  readonly version?: unknown;
  readonly field?: unknown;
  /** Where it lies there, by names of its backend's. */
  readonly upstream?: unknown;
  readonly phase?: unknown;
  readonly error?: unknown;
  readonly recovered?: unknown;
  readonly target?: unknown;
  readonly count?: unknown;
  readonly addresses?: unknown;
  readonly upTo?: unknown;
}

/** `retire-signing-key`, but for a few that the log writes on its own. */
const LONGEST_ACTION = 18;

/** A line of the audit log for people: number, time, what became of it, action, what it was about, by whom. */
export function entryInWords(line: string): string {
  const entry = parse(line);
  if (!entry) return `${''.padStart(8)}  a line that is no entry`;
  const columns = [
    text(entry.seq).padStart(8),
    text(entry.time).replace(/\.\d+Z$/, 'Z'),
    result(entry),
    text(entry.action).padEnd(LONGEST_ACTION),
    subject(entry),
    why(entry),
    by(entry),
  ];
  return columns.filter((column) => column !== '').join('  ');
}

function result({ authorized, phase, error }: Entry): string {
  if (authorized === false) return paint('red', 'denied ');
  if (error !== undefined) return paint('yellow', 'failed ');
  return phase === 'intent' ? 'begun  ' : phase === 'outcome' ? 'done   ' : 'allowed';
}

function why({ error, recovered }: Entry): string {
  const reasons = [
    ...(error === undefined ? [] : [text(error)]),
    ...(recovered === true ? ['found after a crash'] : []),
  ];
  return reasons.length === 0 ? '' : `(${reasons.join(', ')})`;
}

function subject({ action, secret, target, count, addresses, upTo, upstream, ...which }: Entry): string {
  if (secret !== undefined) return `${text(secret)}${versionAndField(which)}${lyingIn(upstream)}`;
  if (target !== undefined) return text(action === 'read-audit' ? plainQuery(String(target)) : target);
  if (count !== undefined) return `unknown callers: ${text(count)}, addresses: ${text(addresses)}`;
  return upTo === undefined ? '' : `lines up to ${text(upTo)}`;
}

function versionAndField({ secretVersion, version = secretVersion, field }: Partial<Entry>): string {
  return `${version === undefined ? '' : `@${text(version)}`}${field === undefined ? '' : ` field ${text(field)}`}`;
}

function lyingIn(upstream: unknown): string {
  if (typeof upstream !== 'object' || upstream === null) return '';
  const said = Object.entries(upstream).map(([name, value]) => `${text(name)} ${text(value)}`);
  return said.length === 0 ? '' : ` in ${said.join(', ')}`;
}

function by({ principal, instance }: Entry): string {
  const { id, user, ip, application, host } = principal ?? {};
  const name = user === undefined || user === id ? text(id) : `${text(user)} (${text(id)})`;
  const from = ip === undefined ? '' : ` from ${text(ip)}`;
  const claims = [
    ...(application === undefined ? [] : [`application ${text(application)}`]),
    ...(host === undefined ? [] : [`host ${text(host)}`]),
  ];
  const at = instance === undefined ? '' : ` at ${text(instance)}`;
  return `by ${name}${from}${at}${claims.length === 0 ? '' : `, ${claims.join(', ')}`}`;
}

/** What was asked for stands in the log as in a URL. */
const plainQuery = (query: string): string =>
  query.includes('=')
    ? [...new URLSearchParams(query)].map(([name, value]) => `${name} ${value}`).join(', ')
    : query;

/** Nothing in a log steers the terminal. */
const text = (value: unknown): string => (value === undefined ? '' : displayName(String(value)));

function parse(line: string): Entry | undefined {
  try {
    const entry = JSON.parse(line) as Entry | null;
    return typeof entry === 'object' && entry !== null ? entry : undefined;
  } catch {
    return undefined;
  }
}
