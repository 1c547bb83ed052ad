import { headers, type MsgHdrs } from '@nats-io/transport-node';
import { SecretsError } from '../protocol/errors.js';
import { RESPONSE_XKEY } from '../protocol/headers.js';
import type { SealedAnswer } from '../protocol/sealing.js';
import type { Operation } from './options.js';

/** What is published in answer to a request. */
export interface Answer {
  readonly payload: Uint8Array;
  readonly headers?: MsgHdrs | undefined;
}

export const textAnswer = (text: string): Answer => ({ payload: Buffer.from(text) });
export const jsonAnswer = (value: unknown): Answer => textAnswer(JSON.stringify(value));

export function sealedAnswer({ box, responseXkey }: SealedAnswer): Answer {
  const hdrs = headers();
  hdrs.set(RESPONSE_XKEY, responseXkey);
  return { payload: box, headers: hdrs };
}

/** Which error is told: secrets-nats-kv's own CLI knows fewer of `put_secret`, reports others as they stand, and fails. */
export function toldAs(operation: Operation, error: SecretsError): SecretsError {
  if (operation !== 'put_secret' || error.code !== 'InvalidRequest') return error;
  return new SecretsError('InvalidPayload', '', { cause: error.cause });
}

/** An error, in the form in which the operation's peers read it. Never sealed: hosts read the reason in plain ones only. */
export function errorAnswer(operation: Operation, error: SecretsError): Answer {
  switch (operation) {
    case 'put_secret':
      return jsonAnswer({ revision: 0, error });
    case 'add_mapping':
    case 'remove_mapping':
      return textAnswer(error.message);
    default:
      return jsonAnswer({ error });
  }
}
