import type { NatsConnection } from '@nats-io/transport-node';
import type { NatsConfig, WasmcloudConfig } from '../config/nats.js';
import { parseNatsServers } from './servers.js';
import { type Attempt, accountOf, comeAsStranger, reachableSubjects } from './stranger.js';

/** Whether somebody without credentials was seen to speak to us: `undecided` where it could not be tried. */
export interface Openness {
  readonly state: 'closed' | 'open' | 'undecided';
  /** Why, in a sentence, where it is not closed. */
  readonly says?: string;
  /** Undecided for the one reason that nothing is subscribed to yet that strangers might reach. */
  readonly needsSubscription?: boolean;
  /** Servers at which it could not be tried, and why. */
  readonly untried?: readonly string[];
  /** Strangers are somewhere else on it, which is closed only as far as can be seen: at which server. */
  readonly strangersAt?: string;
}

export interface OpennessOptions {
  readonly config: NatsConfig;
  readonly backends: readonly Pick<WasmcloudConfig, 'name' | 'prefix'>[];
  /** Requests of hosts come by this connection: who reaches it gets an answer. */
  readonly subscribed: boolean;
}

/**
 * Tries to come in as a stranger would, at each server that is known: those of the configuration, the one that we are connected to,
 * and the others of its cluster that it tells of. It is open where a stranger
 * - comes into our own account, to publish requests there and to answer those of others,
 * - or into another one, and gets an answer to what hosts ask: its account imports the service, or has a backend of its own by that
 *   name, which from here is the same,
 * - or into one that the server does not name.
 *
 * It is closed only when the server that we are connected to was tried. Another one that cannot be reached is told as `untried`, and
 * does not stop the service: clusters lose members, and tell of addresses that are for others. At that moment nobody comes in by it from
 * where we are; who calls looks again soon, whenever the cluster changes, and all the while.
 *
 * What this cannot find: websocket and MQTT listeners, of which nats-server tells its other clients nothing; servers that are not
 * advertised, clusters behind gateways, leaf nodes; imports under another subject, and those of a single entity's; and a service of
 * a stranger's account that ours imports.
 *
 * @param connection ours, connected
 */
export async function tryOpenness(connection: NatsConnection, options: OpennessOptions): Promise<Openness> {
  const { config, backends, subscribed } = options;
  const own = connection.getServer();
  const addresses = new Set([
    ...parseNatsServers(config.servers).addresses.map(withPort),
    ...(connection.info?.connect_urls ?? []),
    ...(own === '' ? [] : [own]),
  ]);
  const subjects = backends.flatMap(reachableSubjects);
  const attempts = await Promise.all(
    [...addresses].map((address) => comeAsStranger(address, connection, config, subjects)),
  );
  const entered = attempts.filter((attempt) => attempt.entered);
  const account = entered.length > 0 ? await accountOf(connection) : undefined;
  const reason = whyOpen(entered, account);
  if (reason !== undefined) return { state: 'open', says: reason };
  const untried = attempts.filter(wasNotTried).map(({ address, reason }) => `${address} (${reason})`);
  if (attempts.every(wasNotTried) || attempts.some((one) => one.address === own && wasNotTried(one))) {
    const says = `whether the NATS server lets everybody in cannot be found out: ${untried.join('; ')}`;
    return { state: 'undecided', says, untried };
  }
  const [first] = entered;
  if (first === undefined) return { state: 'closed', untried };
  if (subscribed) return { state: 'closed', untried, strangersAt: first.address };
  return {
    state: 'undecided',
    says: 'the NATS server lets everybody in, into another account; whether requests reach us from there is seen only while we serve',
    needsSubscription: true,
    untried,
  };
}

export const NO_STRANGERS = 'Let nobody in without credentials, into no account (no_auth_user)';

function whyOpen(
  entered: readonly Extract<Attempt, { entered: true }>[],
  own: string | undefined,
): string | undefined {
  if (entered.length === 0) return undefined;
  const inOwn = entered.find(({ account }) => account !== undefined && account === own);
  if (inOwn) {
    return `the NATS server lets everybody in, into the very account that requests come by (at ${inOwn.address})`;
  }
  const reaching = entered.find(({ reached }) => reached);
  if (reaching) {
    return (
      `the NATS server lets everybody in (at ${reaching.address}), into an account from which the requests of hosts are answered: ` +
      `it imports the service, or has one of its own. ${NO_STRANGERS}`
    );
  }
  const silent = own === undefined || entered.some(({ account }) => account === undefined);
  return silent
    ? 'the NATS server lets in who shows no credentials, and does not say on $SYS.REQ.USER.INFO into which account'
    : undefined;
}

const wasNotTried = (attempt: Attempt): attempt is Extract<Attempt, { entered: false }> =>
  !attempt.entered && !attempt.refused;

const withPort = (address: string): string => (/:\d+$/.test(address) ? address : `${address}:4222`);
