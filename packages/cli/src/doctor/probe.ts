import type { IncomingMessage, RequestOptions } from 'node:http';
import { addAbortSignal } from 'node:stream';
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
  /** What else is not as it should be with a store that is shared. */
  readonly warnings: readonly string[];
  readonly writable: boolean;
  /** Those whose secrets lie elsewhere. */
  readonly backends: readonly SeenBackend[];
  /** When its TLS certificate ends. */
  readonly validTo: Date | undefined;
}

export interface SeenBackend {
  /** As {@link notReadySince}, told on the admin socket alone. */
  readonly name: string | undefined;
  /** NATS lets it. */
  readonly serving: boolean;
  /** What lies behind it can answer. */
  readonly ready: boolean;
  readonly notReadySince: string | undefined;
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
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    return await look(server, ca, signal);
  } catch (error) {
    throw signal.aborted ? new Error(`no answer within ${TIMEOUT_MS / 1000} s`) : error;
  }
}

async function look(server: string, ca: Buffer | undefined, signal: AbortSignal): Promise<Probe> {
  const start = performance.now();
  const { answer, validTo } = await ask(server, ca, signal);
  const date = new Date(answer.headers.date ?? '');
  const tookMs = performance.now() - start;
  const said = parse(await read(answer, signal));
  const isReady = answer.statusCode === 200;
  return {
    date: Number.isNaN(date.getTime()) ? undefined : date,
    tookMs,
    notReady: isReady ? undefined : (textOf(said.reason) ?? `it answers ${answer.statusCode}`),
    notServingSince: isReady ? notServingSince(said) : undefined,
    alarm: textOf(said.store?.alarm),
    warnings: warningsIn(said),
    writable: said.writable !== false,
    backends: backendsIn(said),
    validTo,
  };
}

async function ask(
  server: string,
  ca: Buffer | undefined,
  signal: AbortSignal,
): Promise<{ answer: IncomingMessage; validTo: Date | undefined }> {
  const url = server.startsWith('unix:') ? undefined : new URL(server);
  const { request } = url?.protocol === 'https:' ? await import('node:https') : await import('node:http');
  const path = `${url?.pathname.replace(/\/+$/, '') ?? ''}/readyz`;
  const where =
    url === undefined
      ? { socketPath: server.slice('unix:'.length) }
      : { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port };
  const options = { ...where, path, agent: false, signal, ...(ca && { ca }) } as RequestOptions;
  return new Promise((resolve, reject) => {
    const asked = request(options, (answer) => {
      const { valid_to: validTo } = (answer.socket as Partial<TLSSocket>).getPeerCertificate?.() ?? {};
      resolve({ answer, validTo: validTo === undefined ? undefined : new Date(validTo) });
    });
    asked.on('error', reject);
    // Without a word, as by an answer that changes the protocol.
    asked.on('close', () => reject(new Error('the connection ended without an answer')));
    asked.end();
  });
}

async function read(answer: IncomingMessage, signal: AbortSignal): Promise<string> {
  // What ends the request only does not end this one.
  addAbortSignal(signal, answer);
  let body = '';
  for await (const part of answer.setEncoding('utf8')) {
    body += part;
    if (body.length > MAX_BODY_BYTES) break;
  }
  return body;
}

/** What `/readyz` says, as far as it is what coffer's says: something else may answer there. */
interface Readiness {
  readonly reason?: unknown;
  readonly writable?: unknown;
  readonly nats?: {
    readonly serving?: unknown;
    readonly notServingSince?: unknown;
    readonly backends?: unknown;
  };
  readonly store?: { readonly alarm?: unknown; readonly warnings?: unknown };
}

function parse(body: string): Readiness {
  try {
    return (JSON.parse(body) as Readiness | null) ?? {};
  } catch {
    return {};
  }
}

function notServingSince({ nats }: Readiness): string | undefined {
  return nats?.serving === false ? (textOf(nats.notServingSince) ?? 'an unknown time') : undefined;
}

function backendsIn({ nats }: Readiness): SeenBackend[] {
  if (!Array.isArray(nats?.backends)) return [];
  return (nats.backends as Record<string, unknown>[]).map((one) => ({
    name: textOf(one?.name),
    serving: one?.serving !== false,
    ready: one?.ready !== false,
    notReadySince: textOf(one?.notReadySince),
  }));
}

const warningsIn = ({ store }: Readiness): string[] =>
  Array.isArray(store?.warnings) ? store.warnings.filter((one) => typeof one === 'string') : [];

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
