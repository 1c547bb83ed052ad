import { CONNECTION_TYPES } from '@coffer/identity';
import { liesIn } from './networks.js';
import { hoursLeft, type TimeRange } from './times.js';

/** What a user's token says of how its user may come, as a verified chain has it. */
export interface UserConditions {
  /** Networks, in CIDR notation. */
  readonly src?: readonly string[] | undefined;
  readonly times?: readonly TimeRange[] | undefined;
  readonly locale?: string | undefined;
  readonly connectionTypes?: readonly string[] | undefined;
}

/**
 * The way in which a user comes, as its `allowed_connection_types` name it. NATS itself knows no `HTTP`, and passes over it.
 * `NATS`: by a connection that nats-server has let in, of whichever of its types.
 */
export type ConnectionType = 'HTTP' | 'STANDARD' | 'NATS';

/**
 * Why a user may not come in this way; undefined: it may.
 *
 * @param address of the peer as `addressOf` writes it; behind a proxy it is the proxy's. `nats`: nobody knows
 */
export function whyNot(
  user: UserConditions,
  address: string,
  now: Date,
  type: ConnectionType = 'HTTP',
): string | undefined {
  const { src, connectionTypes } = user;
  const fits = (one: string) => (type === 'NATS' ? CONNECTION_TYPES.includes(one) : one === type);
  if (connectionTypes?.length && !connectionTypes.some((one) => fits(one.toUpperCase()))) {
    const needed = type === 'NATS' ? 'STANDARD' : type;
    return `this user may connect as ${connectionTypes.join(', ')} only: its allowed_connection_types need ${needed}`;
  }
  if (src?.length && type !== 'HTTP') {
    return 'this user may come from the networks in its src only, and through NATS nobody sees from where it comes';
  }
  if (src?.length && !liesIn(src, address)) {
    return 'this user may not come from your address: its src has other networks';
  }
  if (user.times?.length && userHours(user, now) === undefined) {
    return 'this user may not come at this time of the day: its times are others';
  }
  return undefined;
}

/** When the hours end in which the user may come; undefined: never, as far as they go. */
export function endOfHours(user: UserConditions, now: Date): Date | undefined {
  if (!user.times?.length) return undefined;
  const left = userHours(user, now) ?? 0;
  return new Date(now.getTime() + left * 1000);
}

const userHours = ({ times = [], locale }: UserConditions, now: Date): number | undefined =>
  hoursLeft({ times, location: locale }, now);
