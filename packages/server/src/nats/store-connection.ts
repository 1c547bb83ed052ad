import { CofferError, type JetStreamOptions } from '@coffer/engine';
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { NatsReach, NatsUser } from '../config/nats.js';
import { boundOf, type JetStreamConfig } from '../config/storage.js';
import { connectionOptions } from './connection.js';
import { describeNatsError } from './describe-error.js';
import { maskLogin } from './servers.js';
import { Teller } from './store-teller.js';

/** Between two attempts; as much again by chance. Writers wait for it, so that it is shorter than that of the door. */
const RETRY_MS = 250;
/** A server that does not answer two of them is gone, though nothing says so: paused, or behind a cut line. */
const PING_MS = 1_500;

/** How the engine reaches and keeps a store in JetStream. The log is told of connections that come and go. */
export function jetStreamOptions(config: JetStreamConfig, log?: Logger): JetStreamOptions {
  const { bucket, replicas, maxBytes, auditMaxBytes, placement } = config;
  const { syncAlways, allowLazySync, systemCreds, stale } = config;
  const bound = boundOf(config);
  const tellers = {
    store: log && new Teller(log, 'the store’s NATS', 'changes are refused until it is made again'),
    audit: log && new Teller(log, 'NATS for the copies of the audit log', 'they wait until it is made again'),
  };
  return {
    connect: (use = 'store') =>
      connectStore(config, { as: 'storage', name: `coffer ${use}`, teller: tellers[use] }),
    ...(systemCreds && {
      connectSystem: () =>
        connectStore(systemReach(config, systemCreds), { as: 'system', name: 'coffer system' }),
    }),
    bucket,
    replicas,
    maxBytes,
    auditMaxBytes,
    placementTags: placement,
    syncAlways,
    allowLazySync,
    consistency: bound === 'latest' ? bound : { bounded: bound },
    allowStale: stale === 'allow',
    instanceName: config.instanceName,
    onDifference: (sentence) => log?.info(sentence),
  };
}

/** The same servers, as another user. */
export function systemReach({ servers, tls }: NatsReach, creds: string): NatsReach {
  return { servers: servers.map(withoutLogin), creds, ...(tls && { tls }) };
}

const withoutLogin = (url: string): string => maskLogin(url).replace('…@', '');

/**
 * One connection to the store, which is made again when it is lost. One that NATS refuses twice ends for good, and whoever needs it
 * asks for another, whose credentials are read anew: nats.js would try without a pause at the servers that a cluster tells of before
 * it refuses us, and never say so.
 *
 * @throws CofferError `unavailable`: it cannot be made now
 */
async function connectStore(
  reach: NatsReach,
  {
    as,
    name,
    teller,
  }: { readonly as: NatsUser; readonly name: string; readonly teller?: Teller | undefined },
): Promise<NatsConnection> {
  let problem: string | undefined;
  const options: ConnectionOptions = {
    ...connectionOptions(
      reach,
      (reason) => {
        problem = reason;
      },
      as,
    ),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RETRY_MS,
    reconnectJitter: RETRY_MS,
    reconnectJitterTLS: RETRY_MS,
    pingInterval: PING_MS,
    maxPingOut: 2,
  };
  const servers = reach.servers.map(maskLogin).join(', ');
  try {
    const connection = await connect(options);
    if (teller) void teller.follow(connection, servers);
    return connection;
  } catch (cause) {
    const reason = problem ?? describeNatsError(cause, as);
    teller?.failed(servers, reason);
    throw new CofferError(
      'unavailable',
      `there is no connection to the store's NATS (${servers}): ${reason}`,
      {
        cause,
      },
    );
  }
}
