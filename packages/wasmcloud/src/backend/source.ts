import type { Requester, Secret, SecretQuery } from './options.js';

/**
 * Where a backend's secrets lie: in Vault, in Kubernetes, in a folder. One object answers all requests of its backend, many at
 * the same time. Who asks is known before it is asked: by lineage, and by a grant where the configuration wants one.
 */
export interface SecretSource {
  /**
   * Answers with a secret.
   *
   * @param signal ends when nobody waits any more
   * @returns a secret whose bytes are the receiver's, who wipes them
   * @throws SecretsError what the host is told: `SecretNotFound`, `Unauthorized`, `InvalidRequest`, `PolicyError`,
   *   `UpstreamError`, … Whatever else it throws is answered as `Other`, and the log says what it was
   */
  fetch(query: SecretQuery, requester: Requester, signal?: AbortSignal): Promise<Secret>;
  /**
   * Where a secret would be read, and as whom, for the audit log: `{engine: 'secret', role: 'shop'}`. Asked before `fetch`, of
   * requests that are refused, too. At most 8 texts, of which the log takes 256 characters each; nothing secret. Where it throws,
   * as for what can be no request, nothing is said.
   */
  describe?(query: SecretQuery, requester: Requester): Readonly<Record<string, string>>;
  /**
   * Why it cannot answer now, as a sentence for operators, without secrets; undefined: it can. Asked every few seconds; without
   * it, it always can.
   */
  unready?(signal: AbortSignal): Promise<string | undefined>;
  /** Ends what it keeps open. */
  close?(): Promise<void>;
}
