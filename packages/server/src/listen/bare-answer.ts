import type { IncomingMessage, ServerResponse } from 'node:http';

export type RequestListener = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

/** A whole answer as it goes over the wire, for callers that node has no request of. The connection ends with it. */
export function bareAnswer(status: string, code: string, text: string): string {
  const body = `${text}\n`;
  return (
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
    `X-Content-Type-Options: nosniff\r\nCoffer-Error: ${code}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  );
}
