import type { IncomingMessage, RequestOptions } from 'node:http';
import type { TLSSocket } from 'node:tls';

/** What a server shows to everybody. */
export interface Probe {
  /** Of the `Date` header, and how long the answer took. */
  readonly date: Date | undefined;
  readonly tookMs: number;
  /** Why it takes no requests; undefined if it does. */
  readonly notReady: string | undefined;
  /** Since when nothing is served over NATS; undefined: it is, or there is no such door. */
  readonly notServingSince: string | undefined;
  /** The kind of alarm that a shared store has; undefined: none, or the store is not shared. */
  readonly alarm: string | undefined;
  /** When its TLS certificate ends. */
  readonly validTo: Date | undefined;
}

const TIMEOUT_MS = 5_000;
const MAX_BODY_BYTES = 64 * 1024;

/**
 * Asks `/readyz`.
 *
 * @param server a URL, or `unix:PATH`
 * @throws what the connection failed with
 */
export async function probe(server: string, ca: Buffer | undefined): Promise<Probe> {
  const start = performance.now();
  const { answer, validTo } = await ask(server, ca);
  const date = new Date(answer.headers.date ?? '');
  const tookMs = performance.now() - start;
  const body = await read(answer);
  return {
    date: Number.isNaN(date.getTime()) ? undefined : date,
    tookMs,
    notReady: answer.statusCode === 200 ? undefined : reasonIn(body, answer.statusCode ?? 0),
    notServingSince: answer.statusCode === 200 ? notServingSince(body) : undefined,
    alarm: alarmIn(body),
    validTo,
  };
}

async function ask(
  server: string,
  ca: Buffer | undefined,
): Promise<{ answer: IncomingMessage; validTo: Date | undefined }> {
  const url = server.startsWith('unix:') ? undefined : new URL(server);
  const { request } = url?.protocol === 'https:' ? await import('node:https') : await import('node:http');
  const path = `${url?.pathname.replace(/\/+$/, '') ?? ''}/readyz`;
  const where =
    url === undefined
      ? { socketPath: server.slice('unix:'.length) }
      : { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port };
  const options = { ...where, path, agent: false, timeout: TIMEOUT_MS, ...(ca && { ca }) } as RequestOptions;
  return new Promise((resolve, reject) => {
    const asked = request(options, (answer) => {
      const { valid_to: validTo } = (answer.socket as Partial<TLSSocket>).getPeerCertificate?.() ?? {};
      resolve({ answer, validTo: validTo === undefined ? undefined : new Date(validTo) });
    });
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    asked.on('error', reject);
    asked.end();
  });
}

async function read(answer: IncomingMessage): Promise<string> {
  let body = '';
  for await (const part of answer.setEncoding('utf8')) {
    body += part;
    if (body.length > MAX_BODY_BYTES) break;
  }
  return body;
}

function notServingSince(body: string): string | undefined {
  try {
    const { nats } = JSON.parse(body) as { nats?: { serving?: unknown; notServingSince?: unknown } };
    if (nats?.serving !== false) return undefined;
    return typeof nats.notServingSince === 'string' ? nats.notServingSince : 'an unknown time';
  } catch {
    return undefined;
  }
}

function alarmIn(body: string): string | undefined {
  try {
    const { store } = JSON.parse(body) as { store?: { alarm?: unknown } };
    return typeof store?.alarm === 'string' ? store.alarm : undefined;
  } catch {
    return undefined;
  }
}

function reasonIn(body: string, status: number): string {
  try {
    const { reason } = JSON.parse(body) as { reason?: unknown };
    if (typeof reason === 'string') return reason;
  } catch {
    // Something else than coffer may answer there.
  }
  return `it answers ${status}`;
}
