import { z } from 'zod';
import { type NoAnswer, TIMED_OUT, TOO_LARGE } from '../backend/http-answer.js';
import { readJson } from '../protocol/json.js';

const LENGTH = 300;
/** Vault's tokens, old and new, and JWTs: it is not to be expected that they are quoted, and not to be hoped either. */
const TOKEN_LIKE = /\b(?:hv[a-z]|[sbr])\.[\w-]{16,}|\beyJ[\w-]{16,}(?:\.[\w-]*){0,2}/g;

const refusalSchema = z.object({ errors: z.array(z.string()) });

/** What Vault says of a refusal, in one line; empty: nothing. */
export function wordsOf(body: Uint8Array): string {
  // A list of Go's has a count before it, and stars.
  const words = saidIn(body).map((one) =>
    one
      .replace(/^\d+ errors? occurred:/, '')
      .replace(/\n\t\* /g, ' ')
      .trim(),
  );
  return words
    .join('; ')
    .replace(TOKEN_LIKE, '[token]')
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, LENGTH);
}

/** What is no JSON is said by Go's HTTP server, in a line of text, or by what stands before Vault, in a page. */
function saidIn(body: Uint8Array): readonly string[] {
  const text = Buffer.from(body.buffer, body.byteOffset, Math.min(body.length, LENGTH)).toString('utf8');
  return readJson(refusalSchema, body)?.errors ?? (/^\s*[{[<]/.test(text) ? [] : [text]);
}

const WHY: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection broke',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name service does not answer',
  EPROTO: 'it does not speak TLS',
  [TIMED_OUT]: 'no answer in time',
  UPGRADE: 'it changes to another protocol',
};

/** Why there is no answer, as half a sentence about Vault. */
export function whyNoAnswer({ code }: NoAnswer): string {
  if (code === TOO_LARGE) return 'Vault gives an answer that is larger than any secret';
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ALTNAME/.test(code)) {
    return `the certificate of Vault is not to be trusted (${code}): check ca and address`;
  }
  return `Vault cannot be reached (${WHY[code] ?? code})`;
}

/** Why Vault does not do what it is asked for, whatever that is; undefined: it is another answer than that. */
export function whyUnable(status: number, words: string): string | undefined {
  const said = words === '' ? '' : `: ${words}`;
  if (/HTTP request to an HTTPS server/.test(words)) return 'Vault speaks TLS: write https:// in address';
  if (/Vault is sealed/i.test(words)) return 'Vault is sealed';
  if (status >= 300 && status < 400) {
    return 'Vault stands by at this address, and cannot hand on what it is asked: give that of the active one, or of what balances them';
  }
  if (status === 429) return `Vault limits the rate of requests${said}`;
  if (status === 412) return 'this Vault has not yet got what another one of its cluster knows';
  if (status >= 500) return `Vault answers ${status}${said}`;
  return undefined;
}
