import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Engine } from '@coffer/engine';
import type { Logger } from 'pino';
import type { RateLimits } from '../limit/rate-limits.js';
import type { RequestListener } from '../listen/bare-answer.js';
import type { RequestMetrics } from '../metrics/requests.js';
import type { NatsFacts } from '../nats/facts.js';
import { Refusal } from '../refusal.js';
import type { Proofs } from '../trust/proofs.js';
import type { TransitUse } from '../wasmcloud/transit-use.js';
import { manyAnswer } from '../wire/many.js';
import { jsonReader } from '../wire/request.js';
import { backupRequest, getManyRequest } from '../wire/schemas.js';
import { ADMIN_RESOURCES, type AdminResource, whoami } from './admin.js';
import { answerAudit } from './audit.js';
import { type Authenticator, addressOf, type KnownCaller } from './authenticate.js';
import type { BodyKind, BodyReader } from './body.js';
import { admitChange, admitGet, admitPost, unknownCaller } from './gate.js';
import { isOfOne, KEYS_OF_ONE_PATH, KEYS_PATH, type KeySets, keysAt } from './keys.js';
import { answerMetrics, type MetricsContext } from './metrics.js';
import { changeOf, checkBoundProof, requireCurrentProof } from './proof-of-request.js';
import { answerReadiness, type NotReady } from './readiness.js';
import { refuse } from './refuse.js';
import { Reply } from './reply.js';
import { foreignIds, type RequestIds } from './request-id.js';
import type { SharedRoom } from './room.js';
import { reachSeen } from './seen.js';
import { SETEC_METHODS, type SetecMethod } from './setec.js';
import { pathOf } from './target.js';
import { answerWatch } from './watch.js';

/** What the application answers with. Several doors share all of it but the authenticator. */
export interface AppParts {
  readonly engine: Engine;
  readonly authenticator: Authenticator;
  readonly bodies: BodyReader;
  /** For large answers until their callers have taken them. */
  readonly answers: SharedRoom;
  readonly log: Logger;
  readonly requestIds: RequestIds;
  readonly requests: RequestMetrics;
  readonly metrics: Pick<MetricsContext, 'exposition' | 'facts'>;
  /** How often callers may ask; absent where they may without end. */
  readonly rates: RateLimits | undefined;
  /** Undefined: no identities are trusted. */
  readonly proofs: Pick<Proofs, 'refusedRequest'> | undefined;
  /** When transit keys were last used. */
  readonly transitUse: Pick<TransitUse, 'lastUsed'>;
  /** Why the server takes no new work, if it does not. */
  readonly notReady: () => NotReady | undefined;
  /** How the NATS door is; undefined: there is none. */
  readonly natsFacts: () => NatsFacts | undefined;
  /** By what Vault checks what is signed here. */
  readonly keySets: KeySets;
  /** Whether anybody who reaches the door may ask, or who administers this machine alone. */
  readonly isPublic: boolean;
  /** Aborted when the server closes: answers without an end of their own end then. */
  readonly closing: AbortSignal;
  /** How often an answer without an end of its own shows that it lives, when it has nothing else to say. */
  readonly heartbeatMs: number;
  readonly version: string;
  /** The document of this API, as JSON. */
  readonly openApi: Buffer;
}

/** One request and its answer. */
interface Exchange {
  readonly id: string;
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly reply: Reply;
}

type Route = (exchange: Exchange, parts: AppParts) => Promise<void>;

/**
 * Every route, by its exact path. A map and node's own request and response, and no framework: one of our paths has a
 * parameter, and a framework took a tenth of what one `get` costs.
 */
const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ...Object.entries(SETEC_METHODS).map(([name, method]): [string, Route] => [
    `/api/${name}`,
    setecRoute(method),
  ]),
  ...Object.entries(ADMIN_RESOURCES).map(([path, resource]): [string, Route] => [path, adminRoute(resource)]),
  ['/api/get-many', answerMany],
  ['/api/watch', watch],
  ['/api/admin/audit', audit],
  ['/api/admin/backup', answerBackup],
  ['/api/whoami', answerWhoami],
  ['/metrics', metrics],
  ['/healthz', readOnly(({ reply }) => reply.text('ok\n'))],
  ['/readyz', readOnly(({ reply }, parts) => answerReadiness(reply, parts))],
  [KEYS_PATH, readOnly(answerKeys)],
  [KEYS_OF_ONE_PATH, readOnly(answerKeys)],
  ['/openapi.json', readOnly(({ reply }, { openApi }) => reply.jsonDocument(openApi))],
]);

/** Paths of all routes. */
export const PATHS: ReadonlySet<string> = new Set(ROUTES.keys());

const HEALTH: ReadonlySet<string> = new Set(['/healthz', '/readyz']);

/** The whole HTTP API. It translates wire formats and nothing else: rights and audit are the engine's. */
export function createApp(parts: AppParts): RequestListener {
  const { log, requestIds, requests, rates } = parts;
  return (incoming, outgoing) => {
    const begun = requests.begin();
    const id = requestIds.next();
    const reply = new Reply(incoming, outgoing, parts.answers, id);
    const path = routePathOf(incoming);
    const known = ROUTES.get(path);
    const route = known ?? unknownRoute(path);
    const done = () => {
      requests.end(known ? path : 'other', outgoing.headersSent ? outgoing.statusCode : 0, begun);
    };
    const refused = (reason: unknown) => {
      const error = reason instanceof Refusal && reason.code === 'proof_request' ? misused(reason) : reason;
      if (error instanceof Refusal && error.unknownCaller) {
        requests.unauthenticated++;
        parts.engine.refusedStranger(addressOf(incoming));
      }
      refuse(reply, id, path, error, log);
      done();
    };
    // Its caller was let in as a known one, and has proved nothing for this request.
    const misused = (error: Refusal) => {
      parts.proofs?.refusedRequest();
      return rates === undefined ? error : rates.refused(incoming, error);
    };
    if (log.isLevelEnabled('debug')) logAtEnd(log, id, path, incoming, outgoing);
    try {
      // Whoever watches over the server is not told that it is ill when it is only busy.
      if (!HEALTH.has(path)) rates?.admitAddress(incoming);
    } catch (error) {
      refused(error);
      return;
    }
    route({ id, incoming, outgoing, reply }, parts).then(done, refused);
  };
}

/** Of what has a parameter, the path as the routes have it. */
function routePathOf({ url = '' }: IncomingMessage): string {
  const path = pathOf(url);
  return isOfOne(path) ? KEYS_OF_ONE_PATH : path;
}

function answerKeys({ incoming, outgoing, reply }: Exchange, { engine, keySets }: AppParts): void {
  if (engine.stale) {
    // A key that was retired is not shown again, and whoever asks next comes to another instance, if there is one.
    outgoing.setHeader('Connection', 'close');
    throw engine.stale;
  }
  const keys = keysAt(pathOf(incoming.url ?? ''), keySets);
  if (keys === undefined) throw new Refusal('not_found', 'no backend of this name signs anything here');
  reply.json(keys);
}

/** One line for a request. A path that is no route of ours may be anything: left out. */
function logAtEnd(
  log: Logger,
  request: string,
  path: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): void {
  const start = performance.now();
  const { method } = incoming;
  const known = ROUTES.has(path) ? path : 'other';
  outgoing.once('close', () => {
    const ms = performance.now() - start;
    log.debug(
      { request, method, path: known, status: outgoing.statusCode, ms, ...foreignIds(incoming) },
      'request',
    );
  });
}

function setecRoute(method: SetecMethod): Route {
  const admit = method.changes ? admitChange : admitPost;
  return async (exchange, parts) => {
    const { incoming, reply } = exchange;
    const { engine, authenticator } = parts;
    const admitted = admit(incoming, authenticator);
    const caller = admitted instanceof Promise ? await admitted : admitted;
    reply.answerTo(caller, engine);
    const change = changeOf(incoming, caller);
    const answer = await withBody(exchange, parts, caller, method.bodyKind, (body) =>
      method.answer(body, { engine, caller, change, room: reply }),
    );
    if (answer === undefined) reply.notModified();
    else reply.json(answer);
  };
}

/**
 * The body of a request, once it is what the caller's proof is for. A body may take half a minute to come, in which its caller
 * may have been revoked, and its proof have ended.
 *
 * @throws Refusal as `BodyReader.withBody`; `proof_request`; `unauthenticated`
 */
function withBody<T>(
  { incoming, outgoing }: Exchange,
  { bodies, engine }: AppParts,
  caller: KnownCaller,
  kind: BodyKind,
  use: (body: Buffer) => Promise<T>,
): Promise<T> {
  const admitted = (body: Buffer) => {
    requireCurrentProof(caller, new Date());
    if (!engine.isCurrent(caller)) throw unknownCaller();
    return use(body);
  };
  return bodies.withBody({ incoming, outgoing, caller, kind }, (body) => {
    checkBoundProof(incoming, caller, body);
    const reaching = reachSeen(engine, incoming);
    return reaching === undefined ? admitted(body) : reaching.then(() => admitted(body));
  });
}

/** Whoever administers by a POST needs a proof of that request, a dry run's too: before its body is read nobody knows. */
function adminRoute({ get, post, bodyKind = 'small' }: AdminResource): Route {
  return async (exchange, parts) => {
    const { incoming, reply } = exchange;
    const { engine, authenticator, transitUse } = parts;
    if (get !== undefined && incoming.method === 'GET') {
      const caller = await admitGet(incoming, authenticator);
      reply.answerTo(caller, engine);
      await reachSeen(engine, incoming);
      reply.json(JSON.stringify(await get({ engine, caller, change: undefined, transitUse })));
      return;
    }
    if (post === undefined) throw new Refusal('invalid_method', 'only GET requests allowed');
    const caller = await admitChange(incoming, authenticator);
    reply.answerTo(caller, engine);
    const change = changeOf(incoming, caller);
    const answer = await withBody(exchange, parts, caller, bodyKind, async (body) =>
      post(body, { engine, caller, change, transitUse }),
    );
    reply.json(JSON.stringify(answer));
  };
}

async function answerMany(exchange: Exchange, parts: AppParts): Promise<void> {
  const { id, incoming, reply } = exchange;
  const { engine, authenticator, log, rates } = parts;
  const caller = await admitPost(incoming, authenticator);
  reply.answerTo(caller, engine);
  const answers = await withBody(exchange, parts, caller, 'names', async (body) => {
    const { secrets } = readManyRequest(body);
    rates?.count(caller, secrets.length);
    return engine.getMany(caller, secrets, { room: reply });
  });
  const tampered = answers.filter((answer) => 'error' in answer && answer.error === 'tampered').length;
  if (tampered > 0)
    log.error({ request: id, code: 'tampered', secrets: tampered }, 'a request failed in part');
  reply.secretJson(manyAnswer(answers));
}

const readManyRequest = jsonReader(getManyRequest);

async function watch({ incoming, reply }: Exchange, parts: AppParts): Promise<void> {
  const { engine, authenticator, closing, heartbeatMs } = parts;
  const caller = await admitGet(incoming, authenticator);
  reply.answerTo(caller, engine);
  await reachSeen(engine, incoming);
  await answerWatch(incoming, reply, { engine, caller, closing, heartbeatMs });
}

async function audit({ incoming, reply }: Exchange, parts: AppParts): Promise<void> {
  const { engine, authenticator, closing, heartbeatMs } = parts;
  const caller = await admitGet(incoming, authenticator);
  reply.answerTo(caller, engine);
  await reachSeen(engine, incoming);
  await answerAudit(incoming, reply, { engine, caller, closing, heartbeatMs });
}

/** The store's own moment ends when nobody takes the bytes; the connection is cut then. */
const BACKUP_PATIENCE_MS = 60_000;

async function answerBackup(exchange: Exchange, parts: AppParts): Promise<void> {
  const { incoming, reply } = exchange;
  const { engine, authenticator, closing } = parts;
  const caller = await admitPost(incoming, authenticator);
  reply.answerTo(caller, engine);
  await withBody(exchange, parts, caller, 'small', async (body) => readBackupRequest(body));
  const limits = { closing, stallMs: BACKUP_PATIENCE_MS };
  await reply.stream('application/octet-stream', () => engine.backup(caller), limits);
}

const readBackupRequest = jsonReader(backupRequest);

async function answerWhoami({ incoming, reply }: Exchange, parts: AppParts): Promise<void> {
  const caller = await admitGet(incoming, parts.authenticator);
  reply.answerTo(caller, parts.engine);
  await reachSeen(parts.engine, incoming);
  reply.json(JSON.stringify(await whoami(parts.engine, caller, parts.version)));
}

async function metrics({ incoming, reply }: Exchange, parts: AppParts): Promise<void> {
  const { engine, authenticator } = parts;
  await answerMetrics(incoming, reply, { engine, authenticator, ...parts.metrics });
}

/** GET and HEAD; for anything else there is nothing here. */
function readOnly(answer: (exchange: Exchange, parts: AppParts) => void | Promise<void>): Route {
  return async (exchange, parts) => {
    if (!isRead(exchange.incoming)) throw new Refusal('invalid_method', 'invalid method');
    await answer(exchange, parts);
  };
}

/** setec answers every unknown API method alike; elsewhere nothing is to be found (yet). */
function unknownRoute(path: string): Route {
  return async ({ incoming }) => {
    if (path.startsWith('/api/') || !isRead(incoming)) throw new Refusal('invalid_method', 'invalid method');
    throw new Refusal('not_found', 'not found');
  };
}

const isRead = ({ method }: IncomingMessage): boolean => method === 'GET' || method === 'HEAD';
