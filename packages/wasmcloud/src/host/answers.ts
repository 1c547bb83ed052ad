import type { KeyPair } from '@coffer/identity';
import type { Msg } from '@nats-io/transport-node';
import type { z } from 'zod';
import type { Secret } from '../backend/options.js';
import { SecretsError, told } from '../protocol/errors.js';
import { RESPONSE_XKEY } from '../protocol/headers.js';
import { readJson } from '../protocol/json.js';
import { refusalSchema, secretResponseSchema } from '../protocol/messages.js';
import { isXkey, openBox } from '../protocol/sealing.js';

/**
 * Opens the sealed answer to a request of `own`, and reads it.
 *
 * @throws SecretsError what the backend has answered instead; `Other` for an answer that is none
 */
export function openAnswer<S extends z.ZodType>(answer: Msg, own: KeyPair, schema: S): z.output<S> {
  const responseXkey = answer.headers?.get(RESPONSE_XKEY) ?? '';
  if (responseXkey === '') throw refusalIn(answer.data);
  const plaintext = isXkey(responseXkey) ? openBox(answer.data, own, responseXkey) : undefined;
  if (plaintext === undefined) {
    throw new SecretsError(
      'Other',
      'the answer of the backend does not open: it is not sealed for this request',
    );
  }
  try {
    const message = readJson(schema, plaintext);
    if (message === undefined) throw refusalIn(plaintext);
    return message;
  } finally {
    plaintext.fill(0);
  }
}

/** As {@link openAnswer}, for a secret, which has exactly one value. */
export function openSecret(answer: Msg, own: KeyPair): Secret {
  const { secret, error } = openAnswer(answer, own, secretResponseSchema);
  if (error) throw told(error);
  const { version, string_secret: text, binary_secret: bytes } = secret ?? {};
  if (version === undefined || version === '' || (text == null) === (bytes == null)) throw strange();
  return text != null
    ? { version, kind: 'string', value: new TextEncoder().encode(text) }
    : { version, kind: 'binary', value: Uint8Array.from(bytes ?? []) };
}

/** What a plain answer says, and one that is nothing else: a refusal, if anything. */
function refusalIn(data: Uint8Array): SecretsError {
  const refusal = readJson(refusalSchema, data);
  return refusal ? told(refusal.error) : strange();
}

/**
 * Of an answer that is none. It is not quoted: secrets-nats-kv answers some mistakes with bare text, in which a piece of what was
 * put may stand.
 */
export const strange = (): SecretsError =>
  new SecretsError('Other', 'the answer of the backend is none of this protocol');
