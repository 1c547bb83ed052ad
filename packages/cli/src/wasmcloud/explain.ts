import { NoAnswerError, SecretsError } from '@coffer/wasmcloud';
import { Failure } from '../failure.js';
import type { Asked } from './backend.js';

/** Runs a request to a backend. When it is refused, the failure begins with `what`, and says in words what the protocol's error means. */
export async function inWords<T>(what: string, asked: Asked, request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (error) {
    if (!(error instanceof SecretsError)) throw error;
    throw new Failure(`${what}: ${sentence(error, asked)}`);
  }
}

function sentence(error: SecretsError, asked: Asked): string {
  if (error instanceof NoAnswerError) return noAnswer(error);
  const { code, text } = error;
  switch (code) {
    case 'Unauthorized':
      return unauthorized(asked);
    case 'SecretNotFound':
      return 'there is no such secret or version';
    case 'DecryptionError':
      return asked.transitKeyGiven === undefined
        ? 'the backend could not open the request'
        : `the backend could not open the request: the key of ${asked.transitKeyGiven} is none of its transit keys; without it the ` +
            'backend is asked for its key';
    case 'InvalidRequest':
      return 'the backend does not take this request: a version is a number, and a secret’s name is not too long (1,024 bytes, unless the server has another limit) and has no * in it';
    case 'InvalidPayload':
      return 'the backend does not take this request: its name is empty, or name and value together are too large';
    default:
      return text === '' ? `the backend answers ${code}` : withHint(text, asked);
  }
}

function noAnswer({ text }: NoAnswerError): string {
  if (/^no backend listens/.test(text)) {
    return (
      `${text}; "coffer wasmcloud run" starts one, --name and --subject-base name another; creds of another account do not ` +
      'reach it, either'
    );
  }
  if (/does not let this connection publish/.test(text)) {
    return `${text}: come with creds that may, as those of the role admin that "coffer wasmcloud permissions" makes`;
  }
  if (/max_payload/.test(text)) {
    return (
      'it is too large for one message of this NATS server, in which bytes take up to four times their number: its max_payload ' +
      'says how large one may be'
    );
  }
  return text;
}

const TAKE_UNSIGNED = '--unsigned leaves the decision to NATS';
const OVER_THE_SOCKET =
  'the server’s admin socket, "coffer -s unix:STATE/admin.sock …", is open to who administers its machine';

function unauthorized({ signer, reads }: Asked): string {
  if (signer === undefined) {
    return (
      'the backend does not let those do this who do not show who they are: --creds FILE signs the request, and grants decide ' +
      'then'
    );
  }
  const denied = `${signer} may not do this: no grant in the policy allows it`;
  return `${denied}; ${reads ? `${GRANT}; ${OVER_THE_SOCKET}` : TAKE_UNSIGNED}`;
}

const GRANT = '"coffer policy apply" gives it one: get to read values, admin to list mappings';

/** What a server says of who signs, or does not, goes on with what to do about it here. */
function withHint(text: string, asked: Asked): string {
  const { signer, reads, byKey } = asked;
  if (signer !== undefined && /trusts no identities|identity is not trusted/.test(text)) {
    const trust =
      'for signatures to count, the server needs the operator of these creds: "coffer wasmcloud run" takes --trust-store DIR, or ' +
      '--trusted-operator with --account-tokens';
    return reads
      ? `${text}; ${trust}; and ${signer} needs a grant; ${OVER_THE_SOCKET}`
      : `${text}; ${TAKE_UNSIGNED}; ${trust}`;
  }
  if (signer === undefined && /takes a signed request/.test(text)) {
    return byKey
      ? `${text}; a key for NATS (--nats-nkey-file) cannot sign: ${OVER_THE_SOCKET}`
      : `${text}; ${OVER_THE_SOCKET}`;
  }
  if (signer === undefined && /allowUnauthenticatedAdmin/.test(text)) {
    return `${text} ("coffer wasmcloud run --allow-unauthenticated-admin")`;
  }
  return text;
}
