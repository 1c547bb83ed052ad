import { isLocalHostHeader } from './address.js';
import type { RequestListener } from './bare-answer.js';

/** Lets only requests pass that were addressed to this machine by its own names. */
export function guardHost(listener: RequestListener): RequestListener {
  return (incoming, outgoing) => {
    if (isLocalHostHeader(incoming.headers.host)) return listener(incoming, outgoing);
    const body = 'a development server answers only to localhost, 127.0.0.1 and [::1]\n';
    outgoing.writeHead(403, {
      'Content-Type': 'text/plain; charset=utf-8',
      'X-Content-Type-Options': 'nosniff',
      'Coffer-Error': 'access_denied',
      'Content-Length': body.length,
      Connection: 'close',
    });
    outgoing.end(body);
  };
}
