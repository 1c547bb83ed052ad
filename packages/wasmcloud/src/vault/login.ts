import { z } from 'zod';
import { SourceReason } from '../backend/source-reason.js';
import { SecretsError } from '../protocol/errors.js';
import { readJson } from '../protocol/json.js';
import type { VaultApi } from './api.js';
import type { Patience } from './http.js';
import type { LoginPlace } from './reference.js';
import { wordsOf } from './words.js';

/** What Vault lets somebody in with. */
export interface ClientToken {
  /** Goes into a header, hence text. */
  readonly token: string;
  readonly namespace: string | undefined;
  /** As `performance.now()` counts: from then on another one is wanted. */
  readonly until: number;
  /** How many requests it is good for. */
  readonly uses: number;
}

/** This much of a lease is not used, so that a token does not end on its way. */
const MARGIN = { part: 0.1, mostMs: 30_000 };

const loginSchema = z.object({
  auth: z.object({
    client_token: z.string().regex(/^[\x21-\x7e]+$/),
    /** Seconds; 0: it does not end. */
    lease_duration: z.number().min(0),
    /** 0: any number. */
    num_uses: z.int().min(0).nullish(),
  }),
});

/**
 * Logs in by the JWT auth method.
 *
 * @param jwt of one minute
 * @throws SecretsError `Unauthorized`, with the reason as its cause; `UpstreamError`
 */
export async function logIn(
  api: VaultApi,
  { namespace, authMount, role }: LoginPlace,
  jwt: string,
  patience: Patience,
): Promise<ClientToken> {
  const asked = performance.now();
  const body = Buffer.from(JSON.stringify({ role, jwt }));
  const answer = await api.ask(
    { method: 'POST', path: `auth/${authMount}/login`, namespace, body },
    patience,
  );
  try {
    if (answer.status !== 200) throw refused(answer.status, wordsOf(answer.body), role, authMount);
    const { auth } = readJson(loginSchema, answer.body) ?? {};
    if (auth === undefined) throw new SecretsError('UpstreamError', 'Vault answers a log-in without a token');
    const lease = auth.lease_duration * 1000 || Number.POSITIVE_INFINITY;
    const until = asked + lease - Math.min(lease * MARGIN.part, MARGIN.mostMs);
    return { token: auth.client_token, namespace, until, uses: auth.num_uses || Number.POSITIVE_INFINITY };
  } finally {
    answer.body.fill(0);
    body.fill(0);
  }
}

/** What is wrong between Vault and us, and with nobody's rights. */
const OURS =
  /fetching keys|jwks|no known key|verif(?:y|ying) (?:token )?signature|audience|bound_issuer|\(exp\)|\(nbf\)|expired/i;

function refused(status: number, words: string, role: string, authMount: string): SecretsError {
  const what = `Vault refuses the log-in at auth/${authMount} for the role ${JSON.stringify(role)}`;
  if (status === 404) {
    return new SecretsError('UpstreamError', `Vault has no JWT auth method at auth/${authMount}`);
  }
  if (OURS.test(words)) return new SecretsError('UpstreamError', `${what}: ${words}`);
  return new SecretsError('Unauthorized', '', { cause: new SourceReason(`${what}: ${words || status}`) });
}

/** Ends a token that nobody will use again. One that has ended already is as good; one that is left ends with its lease. */
export async function endToken(
  api: VaultApi,
  { token, namespace }: ClientToken,
  patience: Patience,
): Promise<void> {
  try {
    const answer = await api.ask(
      { method: 'POST', path: 'auth/token/revoke-self', namespace, token },
      patience,
    );
    answer.body.fill(0);
  } catch {
    // Nobody waits for it.
  }
}
