import { NoAnswer, TIMED_OUT, TOO_LARGE } from '../backend/http-answer.js';
import { SourceReason } from '../backend/source-reason.js';
import { SecretsError } from '../protocol/errors.js';

/** What hosts and operators are told of an API server that does not answer as it should. Never what it said: that may be anything. */
export const upstream = (text: string, cause?: unknown): SecretsError =>
  new SecretsError('UpstreamError', `Kubernetes: ${text}`, cause === undefined ? undefined : { cause });

/** An error whose reason the operators' log has alone, since the protocol has no text for it. */
export const refused = (
  code: 'SecretNotFound' | 'Unauthorized' | 'InvalidRequest',
  reason: string,
): SecretsError => new SecretsError(code, '', { cause: new SourceReason(reason) });

const WHY: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name service does not answer',
  EHOSTUNREACH: 'no way to its host',
  ENETUNREACH: 'no way to its host',
  EPROTO: 'it does not speak TLS as we do',
  UPGRADE: 'it changes to another protocol',
};

/** As OpenSSL and Node name what is wrong with a certificate: it may be a new one, of an authority that we have not read yet. */
export const isAboutCertificates = (error: unknown): boolean =>
  error instanceof NoAnswer && /CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME/.test(error.code);

/** @throws whatever is no {@link NoAnswer} */
export function unanswered(error: unknown): SecretsError {
  if (!(error instanceof NoAnswer)) throw error;
  const { code } = error;
  if (code === TIMED_OUT) return upstream('the API server has not answered in time');
  if (code === TOO_LARGE) return upstream('the answer of the API server is larger than any Secret');
  if (isAboutCertificates(error)) {
    return upstream(`the certificate of the API server is not to be trusted (${code})`);
  }
  return upstream(`the API server cannot be reached (${WHY[code] ?? code})`);
}

/** For an answer that is none to what was asked. @param reason of its `Status` */
export function unexpected(status: number, reason: string): SecretsError {
  if (status === 401)
    return upstream('the API server does not know coffer (401): its credentials are not good');
  if (status === 429) return upstream('the API server has too much to do (429)');
  return upstream(`the API server answers ${status}${reason === '' ? '' : ` ${reason}`}`);
}
