import { z } from 'zod';
import { SourceReason } from '../backend/source-reason.js';
import { SecretsError } from '../protocol/errors.js';
import { readJson } from '../protocol/json.js';
import type { VaultApi } from './api.js';
import type { Patience, VaultAnswer } from './http.js';
import type { LoginPlace } from './reference.js';
import { wordsOf } from './words.js';

/** What Vault lets somebody in with. */
export interface ClientToken {
  /** Goes into a header, hence text. */
  readonly token: string;
  readonly namespace: string | undefined;
  /** As `performance.now()` counts: from then on another one is wanted. */
  readonly until: number;
  /** When Vault ends it. */
  readonly leaseEnd: number;
  /** How many requests it is good for. */
  readonly uses: number;
}

/** This much of a lease is not used, so that a token does not end on its way. */
const MARGIN = { part: 0.1, mostMs: 30_000 };
/** However long a lease is, another log-in shows after so long that it may still be had. */
const LONGEST_MS = 24 * 60 * 60 * 1000;

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
  place: LoginPlace,
  jwt: string,
  patience: Patience,
): Promise<ClientToken> {
  const { namespace } = place;
  const asked = performance.now();
  const answer = await askToLogIn(api, place, jwt, patience);
  try {
    if (answer.status !== 200) throw refused(answer.status, wordsOf(answer.body), place);
    const { auth } = readJson(loginSchema, answer.body) ?? {};
    if (auth === undefined) throw new SecretsError('UpstreamError', 'Vault answers a log-in without a token');
    const lease = auth.lease_duration * 1000 || Number.POSITIVE_INFINITY;
    const used = Math.min(LONGEST_MS, lease - Math.min(lease * MARGIN.part, MARGIN.mostMs));
    return {
      token: auth.client_token,
      namespace,
      until: asked + used,
      leaseEnd: asked + lease,
      uses: auth.num_uses || Number.POSITIVE_INFINITY,
    };
  } finally {
    answer.body.fill(0);
  }
}

/** @returns Vault's answer, whose body the receiver wipes @throws as `VaultApi.ask` */
export async function askToLogIn(
  api: VaultApi,
  { namespace, authPath, role }: LoginPlace,
  jwt: string,
  patience: Patience,
): Promise<VaultAnswer> {
  const body = Buffer.from(JSON.stringify({ role, jwt }));
  try {
    return await api.ask({ method: 'POST', path: `auth/${authPath}/login`, namespace, body }, patience);
  } finally {
    body.fill(0);
  }
}

/** What is wrong between Vault and us, and with nobody's rights. */
const OURS =
  /fetching keys|jwks|no known key|verif(?:y|ying) (?:token )?signature|audience|bound_issuer|\(exp\)|\(nbf\)|expired/i;

function refused(status: number, words: string, { authPath, role }: LoginPlace): SecretsError {
  const what = `Vault refuses the log-in at auth/${authPath} for the role ${JSON.stringify(role)}`;
  if (status === 404) {
    return new SecretsError('UpstreamError', `Vault has no JWT auth method at auth/${authPath}`);
  }
  // They name addresses that are no host's business.
  const cause = new SourceReason(`${what}: ${words || status}`);
  if (!OURS.test(words)) return new SecretsError('Unauthorized', '', { cause });
  return new SecretsError('UpstreamError', `${what}: it cannot check it, and the log of coffer says why`, {
    cause,
  });
}

/**
 * Ends a token that nobody will use again. One that has ended already is as good; one that is left ends with its lease.
 *
 * @returns whether Vault has answered
 */
export async function endToken(
  api: VaultApi,
  { token, namespace }: ClientToken,
  patience: Patience,
): Promise<boolean> {
  try {
    const answer = await api.ask(
      { method: 'POST', path: 'auth/token/revoke-self', namespace, token },
      patience,
    );
    answer.body.fill(0);
    return true;
  } catch {
    return false;
  }
}
