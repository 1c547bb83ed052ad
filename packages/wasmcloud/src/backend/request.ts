import { Match, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import { SecretsError } from '../protocol/errors.js';
import { HOST_XKEY, PROOF, REQUEST_INFO } from '../protocol/headers.js';
import { isXkey } from '../protocol/sealing.js';
import { type Asked, parseSubject } from '../protocol/subjects.js';
import type { Asker } from './options.js';

/** A message that wants an answer, with all that is read of it in the turn in which it came. */
export interface Request extends Asked {
  readonly subject: string;
  readonly reply: string;
  readonly payload: Uint8Array;
  /** Undefined: none at all; null: such as nobody can read. */
  readonly headers: MsgHdrs | undefined | null;
}

export function readRequest(base: string, message: Msg): Request {
  const { subject, reply = '', data } = message;
  return { ...parseSubject(base, subject), subject, reply, payload: data, headers: headersOf(message) };
}

/**
 * Whether an answer can be published there. White space would end the subject in our own line to the server; and bytes that are
 * no UTF-8 have become longer in being read, so that this line might grow beyond what a server takes before it hangs up.
 */
export const isReplySubject = (reply: string): boolean => /^[^\s\p{Cc}\ufffd]+$/u.test(reply);

function headersOf(message: Msg): MsgHdrs | undefined | null {
  try {
    return message.headers;
  } catch {
    return null;
  }
}

/** @throws SecretsError `InvalidXKey`, for several, too: who asks is one */
export function hostXkeyOf(headers: MsgHdrs): string {
  const [xkey, ...more] = headers.values(HOST_XKEY);
  if (xkey === undefined || more.length > 0 || !isXkey(xkey)) throw new SecretsError('InvalidXKey');
  return xkey;
}

/** @throws SecretsError `InvalidHeaders` where nobody can say whether they show the sender */
export function askerOf({ subject, reply, payload, headers }: Request): Asker {
  if (headers === null) throw new SecretsError('InvalidHeaders');
  // In whatever case it is written, and empty, too: a header that is passed over would make of a request that shows its sender one
  // that does not.
  const all = (name: string) =>
    headers?.has(name, Match.IgnoreCase) ? headers.values(name, Match.IgnoreCase).join(', ') : undefined;
  return { subject, reply, payload, proof: all(PROOF), requestInfo: all(REQUEST_INFO) };
}
