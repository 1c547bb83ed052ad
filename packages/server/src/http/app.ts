import type { ServerResponse } from 'node:http';
import { CofferError, type Engine } from '@coffer/engine';
import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import type { Logger } from 'pino';
import { problemOf, Refusal } from '../refusal.js';
import { ADMIN_RESOURCES, type AdminResource, whoami } from './admin.js';
import type { Authenticator } from './authenticate.js';
import type { BodyReader } from './body.js';
import { admitGet, admitPost, changeOf } from './gate.js';
import { Reply } from './reply.js';
import { SETEC_METHODS, type SetecMethod } from './setec.js';

/** What the application answers with. Several doors share all of it but the authenticator. */
export interface AppParts {
  readonly engine: Engine;
  readonly authenticator: Authenticator;
  readonly bodies: BodyReader;
  readonly log: Logger;
  /** Why the server takes no new work, if it does not. */
  readonly notReady: () => string | undefined;
  readonly version: string;
}

type Door = Context<{ Bindings: HttpBindings }>;

/** The whole HTTP API. It translates wire formats and nothing else: rights and audit are the engine's. */
export function createApp(parts: AppParts): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>();
  for (const [name, method] of Object.entries(SETEC_METHODS)) {
    app.all(`/api/${name}`, (c) => answerSetec(c, method, parts));
  }
  for (const [path, resource] of Object.entries(ADMIN_RESOURCES)) {
    app.all(path, (c) => answerAdmin(c, resource, parts));
  }
  app.all('/api/whoami', async (c) => {
    const caller = await admitGet(c.env.incoming, parts.authenticator);
    return new Reply(c.env).json(JSON.stringify(await whoami(parts.engine, caller, parts.version)));
  });
  app.get('/healthz', (c) => new Reply(c.env).text('ok\n'));
  app.get('/readyz', (c) => answerReadiness(c, parts));
  app.notFound((c) => refuse(c, unknownRoute(c), parts.log));
  app.onError((error, c) => refuse(c, error, parts.log));
  return app;
}

async function answerSetec(c: Door, method: SetecMethod, parts: AppParts): Promise<Response> {
  const { incoming, outgoing } = c.env;
  const { engine, authenticator, bodies } = parts;
  const caller = await admitPost(incoming, authenticator);
  const change = changeOf(incoming);
  const answer = await bodies.withBody(incoming, outgoing as ServerResponse, (body) =>
    method(body, { engine, caller, change }),
  );
  const reply = new Reply(c.env);
  return answer === undefined ? reply.notModified() : reply.json(answer);
}

async function answerAdmin(c: Door, resource: AdminResource, parts: AppParts): Promise<Response> {
  const { incoming, outgoing } = c.env;
  const { engine, authenticator, bodies } = parts;
  const { get, post } = resource;
  if (get !== undefined && incoming.method === 'GET') {
    const caller = await admitGet(incoming, authenticator);
    const answer = await get({ engine, caller, change: undefined });
    return new Reply(c.env).json(JSON.stringify(answer));
  }
  if (post === undefined) throw new Refusal('invalid_method', 'only GET requests allowed');
  const caller = await admitPost(incoming, authenticator);
  const change = changeOf(incoming);
  const answer = await bodies.withBody(incoming, outgoing as ServerResponse, async (body) =>
    post(body, { engine, caller, change }),
  );
  return new Reply(c.env).json(JSON.stringify(answer));
}

function answerReadiness(c: Door, { notReady }: AppParts): Response {
  const reason = notReady();
  const reply = new Reply(c.env);
  return reason === undefined ? reply.json('{"ready":true}') : reply.notReady(reason);
}

/** setec answers every unknown API method alike; elsewhere nothing is to be found (yet). */
function unknownRoute(c: Door): Refusal {
  const reads = c.req.method === 'GET' || c.req.method === 'HEAD';
  if (c.req.path.startsWith('/api/') || !reads) return new Refusal('invalid_method', 'invalid method');
  return new Refusal('not_found', 'not found');
}

/** Every error of every route ends here. */
function refuse(c: Door, error: Error, log: Logger): Response {
  const problem = problemOf(error);
  const { status, code } = problem;
  if (status === 500) log.error({ code, reason: reasonOf(error), at: framesOf(error) }, 'a request failed');
  else log.debug({ status, code }, 'request refused');
  const json =
    c.req.path.startsWith('/api/admin/') || c.req.path === '/api/whoami' || c.req.path === '/readyz';
  return new Reply(c.env).problem(problem, json ? 'json' : 'text');
}

/** An error that nobody foresaw might quote what it stumbled over: its words stay out of the log. */
function reasonOf(error: Error): string {
  return error instanceof CofferError ? error.message : error.name;
}

function framesOf(error: Error): string[] {
  const frames = error.stack?.split('\n').filter((line) => line.startsWith('    at ')) ?? [];
  return frames.map((line) => line.trim());
}
