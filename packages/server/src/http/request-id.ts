import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/**
 * Names requests, so that a caller's answer and the log's lines about it find each other: eight hexadecimal digits of the
 * process's own, and a count in base 36. Two processes' ids hardly ever meet.
 */
export class RequestIds {
  readonly #prefix = `${randomBytes(4).toString('hex')}-`;
  #count = 0;

  next(): string {
    return this.#prefix + (++this.#count).toString(36);
  }
}

/** Letters, digits and dashes: enough for UUIDs, ULIDs and hexadecimal; no token of ours, which has an underscore. */
const FOREIGN_ID = /^[0-9A-Za-z-]{1,64}$/;
/** https://www.w3.org/TR/trace-context/#traceparent-header, version 00 and those like it. */
const TRACE_PARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** How the caller, or a proxy on the way, names its request, where that is in good form. Nothing but the log may use it. */
export function foreignIds({ headers }: IncomingMessage): { requestIdHeader?: string; traceparent?: string } {
  const id = headers['x-request-id'];
  const { traceparent } = headers;
  return {
    ...(typeof id === 'string' && FOREIGN_ID.test(id) && { requestIdHeader: id }),
    ...(typeof traceparent === 'string' && TRACE_PARENT.test(traceparent) && { traceparent }),
  };
}
