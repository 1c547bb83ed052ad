import { setTimeout as wait } from 'node:timers/promises';
import { connect, type NatsConnection, type RequestManyOptions } from '@nats-io/transport-node';
import type { NatsConfig } from '../config/nats.js';
import { tlsOf } from './credentials.js';
import { describeNatsError, isRefusal } from './describe-error.js';
import { parseNatsServers } from './servers.js';

/** nats-server answers with who asks (2.15: `events.go`, `userInfoReq`). */
const USER_INFO = '$SYS.REQ.USER.INFO';
const CONNECT_MS = 5_000;
const ANSWER_MS = 2_000;
/** Nobody but the server should answer; whoever else does is heard, too. */
const STALL_MS = 200;

/** Whether somebody without credentials can speak to us: `undecided` where it could not be tried. */
export interface Openness {
  readonly state: 'closed' | 'open' | 'undecided';
  /** Why, in a sentence, where it is not closed. */
  readonly says?: string;
}

type Attempt =
  | { readonly entered: true; readonly account: string | undefined }
  | { readonly entered: false; readonly refused: boolean; readonly reason: string };

/**
 * Tries to come in as a stranger would, at each of the servers: without credentials and without a client certificate. Who is let
 * in, and lands in our own account, can publish requests there and answer those of others. A stranger in another account
 * cannot.
 *
 * @param connection ours, connected
 */
export async function tryOpenness(connection: NatsConnection, config: NatsConfig): Promise<Openness> {
  const { addresses } = parseNatsServers(config.servers);
  const demandsCertificate = connection.info?.tls_verify === true;
  const attempts = await Promise.all(addresses.map((address) => enter(address, config, demandsCertificate)));
  const entered = attempts.filter((attempt) => attempt.entered);
  if (entered.length > 0) return judge(entered, await accountOf(connection));
  if (attempts.some((attempt) => !attempt.entered && attempt.refused)) return { state: 'closed' };
  const reasons = attempts.map((attempt) => (attempt.entered ? '' : attempt.reason));
  return {
    state: 'undecided',
    says: `whether the NATS server lets everybody in cannot be found out: ${[...new Set(reasons)].join('; ')}`,
  };
}

function judge(entered: readonly Extract<Attempt, { entered: true }>[], own: string | undefined): Openness {
  const silent = own === undefined || entered.some(({ account }) => account === undefined);
  if (silent) {
    const says = `the NATS server lets in who shows no credentials, and does not say on ${USER_INFO} into which account`;
    return { state: 'open', says };
  }
  if (entered.every(({ account }) => account !== own)) return { state: 'closed' };
  return {
    state: 'open',
    says: 'the NATS server lets everybody in, into the very account that requests come by',
  };
}

async function enter(address: string, config: NatsConfig, demandsCertificate: boolean): Promise<Attempt> {
  const { cert: _, key: __, ...tls } = config.tls ?? {};
  const options = tlsOf({ ...config, tls: config.tls && tls });
  let stranger: NatsConnection | undefined;
  try {
    stranger = await connect({
      servers: [address],
      name: 'coffer, to see whether everybody is let in',
      timeout: CONNECT_MS,
      reconnect: false,
      ignoreClusterUpdates: true,
      ...(options && { tls: options }),
    });
    return { entered: true, account: await accountOf(stranger) };
  } catch (error) {
    // A server that demands a certificate just ends the connection.
    const refused = isRefusal(error) || (demandsCertificate && !isUnreachable(error));
    return { entered: false, refused, reason: describeNatsError(error) };
  } finally {
    await stranger?.close();
  }
}

const UNREACHABLE = /connection refused|timeout|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/i;

const isUnreachable = (error: unknown): boolean =>
  error instanceof Error && UNREACHABLE.test(`${error.name} ${error.message}`);

/** The account that a connection is in; undefined: nobody said, or not all said the same. */
async function accountOf(connection: NatsConnection): Promise<string | undefined> {
  const options = { strategy: 'stall', maxWait: ANSWER_MS, stall: STALL_MS } as Partial<RequestManyOptions>;
  const accounts = new Set<unknown>();
  const hear = async () => {
    for await (const { data } of await connection.requestMany(USER_INFO, '', options)) {
      const answer = JSON.parse(Buffer.from(data).toString()) as { data?: { account?: unknown } };
      accounts.add(answer.data?.account);
    }
  };
  // Where the inbox may not be listened to, nothing ever ends.
  const ended = wait(2 * ANSWER_MS, undefined, { ref: false });
  await Promise.race([hear().catch(() => accounts.add(undefined)), ended]);
  const [account] = accounts;
  return accounts.size === 1 && typeof account === 'string' && account !== '' ? account : undefined;
}
