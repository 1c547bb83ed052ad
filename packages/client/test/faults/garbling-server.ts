import type { RequestListener, ServerResponse } from 'node:http';
import { type HttpServer, serve } from '../http-server.js';

const json = (status: number, body: unknown) => (response: ServerResponse) =>
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
const other = (status: number, type: string, body: string) => (response: ServerResponse) =>
  response.writeHead(status, { 'Content-Type': type }).end(body);
const events = (text: string) => (response: ServerResponse) =>
  response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(text);

/** Answers that no coffer server gives, to whatever is asked. */
export const GARBAGE: Readonly<Record<string, (response: ServerResponse) => unknown>> = {
  'a web page': other(200, 'text/html', '<html>It works!</html>'),
  'a page that is not there': other(404, 'text/html', '<html>not found</html>'),
  'another place': (response) => response.writeHead(302, { Location: 'http://127.0.0.1:9/' }).end(),
  nothing: (response) => response.writeHead(204).end(),
  'no change': (response) => response.writeHead(304).end(),
  'a failure of its own': other(500, 'text/plain', 'internal error'),
  'a proxy’s failure': other(502, 'text/html', '<html>bad gateway</html>'),
  null: json(200, null),
  'an empty list': json(200, []),
  'an empty object': json(200, {}),
  'too few answers': json(200, { secrets: [] }),
  'other names': json(200, { secrets: ['x', 'y', 'z'].map((name) => ({ name, version: 9, value: 'eHg=' })) }),
  'versions that are none': json(200, {
    secrets: ['a', 'b', 'c'].map((name) => ({ name, version: -1, value: 'eHg=' })),
  }),
  'values that are none': json(200, {
    secrets: ['a', 'b', 'c'].map((name) => ({ name, version: 9, value: '%' })),
  }),
  'half of an answer': other(200, 'application/json', '{"secrets":[{"name":"a","ver'),
  'the head and no body': (response) => {
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' });
    response.flushHeaders();
    response.socket?.destroy();
  },
  'events without sense': events('id: 1\nevent: change\ndata: [1, 2\n\n: \n\ndata\n\nevent: reset\n\n'),
  'the end of all events': events('event: end\ndata: {"error":"unauthenticated","message":"go away"}\n\n'),
  'an event without an end': (response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: ');
    const piece = 'x'.repeat(64 * 1024);
    const more = () => {
      while (!response.destroyed && response.write(piece));
      response.once('drain', more);
    };
    more();
  },
};

export interface GarblingServer extends HttpServer {
  readonly port: number;
  /** What it answers from now on; a name in {@link GARBAGE}. */
  garbage: string;
  /** Requests since then. */
  asked: number;
}

/** A real HTTP server in the place of a coffer server. */
export async function garblingServer(): Promise<GarblingServer> {
  const answer: RequestListener = (request, response) => {
    server.asked++;
    request.resume().on('end', () => GARBAGE[server.garbage]?.(response));
    response.on('error', () => {});
  };
  const served = await serve(answer);
  const server = { ...served, port: Number(new URL(served.url).port), garbage: 'a web page', asked: 0 };
  return server;
}
