import { isIP } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { subjectBase } from '@coffer/wasmcloud';
import {
  connect,
  type NatsConnection,
  type RequestManyOptions,
  type TlsOptions,
} from '@nats-io/transport-node';
import type { NatsConfig, WasmcloudConfig } from '../config/nats.js';
import { tlsOf } from './credentials.js';
import { describeNatsError, isRefusal } from './describe-error.js';
import { parseNatsServers } from './servers.js';

/** nats-server answers with who asks (2.15: `events.go`, `userInfoReq`). */
const USER_INFO = '$SYS.REQ.USER.INFO';
const CONNECT_MS = 5_000;
const ANSWER_MS = 2_000;
/** Nobody but the server should answer; whoever else does is heard, too. */
const STALL_MS = 200;
/** A backend answers such requests from memory. */
const REACH_MS = 1_000;
/** What is subscribed to just now is known to all servers of a cluster a moment later. */
const ROUNDS = 2;
const BETWEEN_ROUNDS_MS = 250;

/** What became of a stranger at one server. */
export type Attempt =
  | {
      readonly address: string;
      readonly entered: true;
      /** Undefined: the server does not say. */
      readonly account: string | undefined;
      /** Somebody has answered what hosts ask. */
      readonly reached: boolean;
    }
  | {
      readonly address: string;
      readonly entered: false;
      readonly refused: boolean;
      readonly reason: string;
    };

/**
 * Subjects on which a backend answers whatever comes, and does nothing when that is empty: all that an import may hand on, part by
 * part. Entities are none.
 */
export function reachableSubjects(backend: Pick<WasmcloudConfig, 'name' | 'prefix'>): readonly string[] {
  const base = subjectBase(backend);
  const plain = ['server_xkey', 'get', 'get_secret', 'put_secret', 'list_mappings'];
  const about = ['add_mapping', 'remove_mapping', 'list_mappings'];
  return [...plain, ...about.map((operation) => `${operation}.nobody`)].map((end) => `${base}.${end}`);
}

/** Comes to one server as a stranger would: without credentials, and without a client certificate. */
export async function comeAsStranger(
  address: string,
  connection: NatsConnection,
  config: NatsConfig,
  subjects: readonly string[],
): Promise<Attempt> {
  let stranger: NatsConnection | undefined;
  const { tls_verify: demandsCertificate = false, tls_required: needsTls = false } = connection.info ?? {};
  try {
    const tls = strangersTls(address, config, needsTls);
    stranger = await connect({
      servers: [address],
      name: 'coffer, to see whether everybody is let in',
      timeout: CONNECT_MS,
      reconnect: false,
      ignoreClusterUpdates: true,
      ...(tls && { tls }),
    });
    const account = await accountOf(stranger);
    return { address, entered: true, account, reached: await reaches(stranger, subjects) };
  } catch (error) {
    // A server that demands a certificate just ends the connection.
    const refused = isRefusal(error) || (demandsCertificate && !isUnreachable(error));
    return { address, entered: false, refused, reason: describeNatsError(error) };
  } finally {
    await stranger?.close().catch(() => {});
  }
}

/** A server's certificate is for its name, but servers tell each other's addresses as numbers: nats.js asks for the name then, too. */
function strangersTls(address: string, config: NatsConfig, needsTls: boolean): TlsOptions | undefined {
  const { cert: _, key: __, ...files } = config.tls ?? {};
  const tls = tlsOf({ ...config, tls: config.tls && files }) ?? (needsTls ? {} : undefined);
  const name = parseNatsServers(config.servers)
    .addresses.map(hostOf)
    .find((host) => isIP(host) === 0);
  if (tls === undefined || name === undefined || isIP(hostOf(address)) === 0) return tls;
  // Handed on to node:tls as it is.
  return { ...tls, servername: name } as TlsOptions;
}

const hostOf = (address: string): string => address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');

const UNREACHABLE = /connection refused|timeout|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/i;

const isUnreachable = (error: unknown): boolean =>
  error instanceof Error && UNREACHABLE.test(`${error.name} ${error.message}`);

/**
 * Whether anybody answers on one of the subjects. Whoever serves answers at once, if only to refuse; so nobody does where NATS says
 * so, or lets nobody ask, or no answer comes in time, which is what somebody who only listens in the stranger's own account
 * brings about.
 */
async function reaches(stranger: NatsConnection, subjects: readonly string[]): Promise<boolean> {
  for (let round = 0; round < ROUNDS; round++) {
    if (round > 0) await wait(BETWEEN_ROUNDS_MS);
    const asked = subjects.map((subject) =>
      stranger.request(subject, '', { timeout: REACH_MS }).then(
        () => true,
        () => false,
      ),
    );
    if ((await Promise.all(asked)).includes(true)) return true;
  }
  return false;
}

/** The account that a connection is in; undefined: nobody said, or not all said the same. */
export async function accountOf(connection: NatsConnection): Promise<string | undefined> {
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
