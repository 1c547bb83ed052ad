import { CofferError, type JetStreamOptions } from '@coffer/engine';
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { NatsReach } from '../config/nats.js';
import { boundOf, type JetStreamConfig } from '../config/storage.js';
import { connectionOptions } from './connection.js';
import { describeNatsError } from './describe-error.js';
import { Seldom } from './seldom.js';
import { maskLogin } from './servers.js';

/** Between two attempts; as much again by chance. Writers wait for it, so that it is shorter than that of the door. */
const RETRY_MS = 250;
/** A server that does not answer two of them is gone, though nothing says so: paused, or behind a cut line. */
const PING_MS = 1_500;

/** How the engine reaches and keeps a store in JetStream. The log is told of connections that come and go. */
export function jetStreamOptions(config: JetStreamConfig, log?: Logger): JetStreamOptions {
  const { bucket, replicas, maxBytes, auditMaxBytes, placement } = config;
  const { syncAlways, allowLazySync, systemCreds, stale } = config;
  const bound = boundOf(config);
  return {
    connect: () => connectStore(config, { name: 'coffer store', log }),
    ...(systemCreds && {
      connectSystem: () => connectStore(systemReach(config, systemCreds), { name: 'coffer system' }),
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
  };
}

/** The same servers, as another user. */
export function systemReach({ servers, tls }: NatsReach, creds: string): NatsReach {
  return { servers: servers.map(withoutLogin), creds, ...(tls && { tls }) };
}

const withoutLogin = (url: string): string => maskLogin(url).replace('…@', '');

/**
 * One connection to the store, which is made again and again when it is lost.
 *
 * @throws CofferError `unavailable`: it cannot be made now
 */
async function connectStore(
  reach: NatsReach,
  { name, log }: { readonly name: string; readonly log?: Logger | undefined },
): Promise<NatsConnection> {
  let problem: string | undefined;
  const options: ConnectionOptions = {
    ...connectionOptions(
      reach,
      (reason) => {
        problem = reason;
      },
      'storage',
    ),
    name,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RETRY_MS,
    reconnectJitter: RETRY_MS,
    reconnectJitterTLS: RETRY_MS,
    pingInterval: PING_MS,
    maxPingOut: 2,
    // Credentials may be renewed, and accounts pushed, while we wait.
    ignoreAuthErrorAbort: true,
  };
  try {
    const connection = await connect(options);
    if (log) void tell(connection, log);
    return connection;
  } catch (cause) {
    const reason = problem ?? describeNatsError(cause, 'storage');
    const where = reach.servers.map(maskLogin).join(', ');
    throw new CofferError('unavailable', `there is no connection to the store's NATS (${where}): ${reason}`, {
      cause,
    });
  }
}

/** Until the connection ends for good. */
async function tell(connection: NatsConnection, log: Logger): Promise<void> {
  const connected = () => {
    const { version } = connection.info ?? {};
    log.info({ server: connection.getServer(), version }, 'connected to the store’s NATS');
  };
  connected();
  const seldom = new Seldom();
  for await (const status of connection.status()) {
    if (status.type === 'disconnect') {
      log.warn('the connection to the store’s NATS is lost: changes are refused until it is made again');
    } else if (status.type === 'reconnect') connected();
    else if (status.type === 'error' && seldom.may('error')) {
      log.warn({ reason: status.error.message }, 'the store’s NATS does not let us do what we want to');
    }
  }
}
