import { type AccountLimits, inJetStreamOrder } from '@coffer/identity';
import { Failure } from '../failure.js';
import { parseCount, parseLimit } from './flags.js';
import { anyGiven } from './permissions.js';
import type { Report } from './workplace.js';

/** An account's limits of JetStream: for all streams, or by tiers, that is by how many replicas a stream has. */

export interface JetStreamOptions {
  readonly jsTier?: string;
  readonly rmJsTier?: string;
  readonly jsEnable?: string;
  readonly jsDisable?: boolean;
  readonly jsMemStorage?: string;
  readonly jsDiskStorage?: string;
  readonly jsStreams?: string;
  readonly jsConsumer?: string;
  readonly jsMaxMemStream?: string;
  readonly jsMaxDiskStream?: string;
  readonly jsMaxAckPending?: string;
  readonly jsMaxBytesRequired?: boolean;
}

/** Each limit: its flag, its field, what nsc calls it, and what it is where nothing is said. */
const LIMITS = [
  ['jsStreams', 'streams', '--js-streams', 'max streams', -1],
  ['jsConsumer', 'consumer', '--js-consumer', 'max consumer', -1],
  ['jsMemStorage', 'mem_storage', '--js-mem-storage', 'max mem storage', 0],
  ['jsMaxMemStream', 'mem_max_stream_bytes', '--js-max-mem-stream', 'max memory stream', -1],
  ['jsDiskStorage', 'disk_storage', '--js-disk-storage', 'max disk storage', 0],
  ['jsMaxDiskStream', 'disk_max_stream_bytes', '--js-max-disk-stream', 'max disk stream', -1],
  ['jsMaxAckPending', 'max_ack_pending', '--js-max-ack-pending', 'max ack pending', -1],
] as const;

const LIMIT_FLAGS = [...LIMITS.map(([flag]) => flag), 'jsMaxBytesRequired', 'jsTier'];
export const JETSTREAM_FLAGS = [...LIMIT_FLAGS, 'rmJsTier', 'jsEnable', 'jsDisable'];

const FIELDS = [...LIMITS.map(([, field]) => field), 'max_bytes_required'];

export const hasJetStream = (limits: AccountLimits): boolean =>
  isSet(limits) || Object.keys(limits.tiered_limits ?? {}).length > 0;

const isSet = (limits: Readonly<Record<string, unknown>>): boolean =>
  FIELDS.some((field) => Boolean(limits[field]));

export function changeJetStream(
  limits: AccountLimits,
  options: JetStreamOptions,
  report: Report,
): AccountLimits {
  const chosen = [
    anyGiven(options, LIMIT_FLAGS),
    options.rmJsTier,
    options.jsEnable,
    options.jsDisable,
  ].filter(Boolean);
  if (chosen.length > 1) {
    throw new Failure(
      '--js-disable, --js-enable and --rm-js-tier each stand alone, without other options of JetStream',
    );
  }
  if (options.jsDisable) return disable(limits, report);
  if (options.rmJsTier !== undefined)
    return removeTier(limits, tierOf('--rm-js-tier', options.rmJsTier), report);
  if (options.jsEnable !== undefined) return enable(limits, tierOf('--js-enable', options.jsEnable), report);
  if (!anyGiven(options, LIMIT_FLAGS)) return limits;
  const tier = tierOf('--js-tier', options.jsTier ?? '0');
  return withTier(limits, tier, setLimits(tierIn(limits, tier), tier, options, report));
}

/** `R3`; nothing for all. */
type Tier = string | undefined;

function tierOf(flag: string, text: string): Tier {
  const replicas = parseCount(flag, text);
  return replicas === 0 ? undefined : `R${replicas}`;
}

const label = (tier: Tier): string => tier ?? 'global';

type Limits = Readonly<Record<string, unknown>>;

const tierIn = (limits: AccountLimits, tier: Tier): Limits =>
  tier === undefined
    ? Object.fromEntries(
        FIELDS.filter((field) => limits[field] !== undefined).map((field) => [field, limits[field]]),
      )
    : (limits.tiered_limits?.[tier] ?? {});

function setLimits(before: Limits, tier: Tier, options: JetStreamOptions, report: Report): Limits {
  const after: Record<string, unknown> = isSet(before) ? { ...before } : defaults();
  for (const [flag, field, name, text] of LIMITS) {
    const given = options[flag];
    if (given === undefined) continue;
    after[field] = parseLimit(name, given);
    report.ok(`changed ${label(tier)} ${text} to ${after[field]}`);
  }
  if (options.jsMaxBytesRequired !== undefined) {
    after.max_bytes_required = options.jsMaxBytesRequired;
    report.ok(`changed ${label(tier)} max bytes required to ${options.jsMaxBytesRequired}`);
  }
  return inJetStreamOrder(after);
}

const defaults = (): Record<string, unknown> =>
  Object.fromEntries(LIMITS.map(([, field, , , unsaid]) => [field, unsaid]));

function withTier(limits: AccountLimits, tier: Tier, own: Limits): AccountLimits {
  const tiers = Object.keys(limits.tiered_limits ?? {});
  if (tier === undefined) {
    if (tiers.length > 0) {
      throw new Failure(
        `the account has limits of JetStream for the tiers ${tiers.join(', ')}: say which with --js-tier, or remove them with --rm-js-tier`,
      );
    }
    return { ...withoutGlobal(limits), ...own };
  }
  if (isSet(tierIn(limits, undefined))) {
    throw new Failure(
      'the account has limits of JetStream for all tiers: remove them first, with --rm-js-tier 0',
    );
  }
  return { ...limits, tiered_limits: { ...limits.tiered_limits, [tier]: own } };
}

const withoutGlobal = (limits: AccountLimits): AccountLimits =>
  Object.fromEntries(Object.entries(limits).filter(([field]) => !FIELDS.includes(field)));

function enable(limits: AccountLimits, tier: Tier, report: Report): AccountLimits {
  if (isSet(tierIn(limits, tier))) throw new Failure(`JetStream is on already for the tier ${label(tier)}`);
  report.ok(`enabled ${tier === undefined ? 'global limit' : `tier limit ${tier}`}`);
  return withTier(limits, tier, { mem_storage: -1, disk_storage: -1 });
}

function removeTier(limits: AccountLimits, tier: Tier, report: Report): AccountLimits {
  if (!isSet(tierIn(limits, tier)))
    throw new Failure(`the account has no limits for the tier ${label(tier)}`);
  report.ok(tier === undefined ? 'deleted global limit' : `deleted tier limit ${tier}`);
  return tier === undefined ? withoutGlobal(limits) : withoutTiers(limits, [tier]);
}

function disable(limits: AccountLimits, report: Report): AccountLimits {
  const tiers = Object.keys(limits.tiered_limits ?? {});
  report.ok('deleted global limit');
  for (const tier of tiers) report.ok(`deleted tier limit ${tier}`);
  return withoutTiers(withoutGlobal(limits), tiers);
}

function withoutTiers(limits: AccountLimits, gone: readonly string[]): AccountLimits {
  const { tiered_limits: tiers, ...rest } = limits;
  const left = Object.entries(tiers ?? {}).filter(([tier]) => !gone.includes(tier));
  return left.length === 0 ? rest : { ...rest, tiered_limits: Object.fromEntries(left) };
}
