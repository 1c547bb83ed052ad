import type { AuditSubject } from './audit/entry.js';
import type { Caller } from './caller.js';
import { wipe } from './crypto/secure-memory.js';
import { checkName } from './names.js';
import type { SecretsContext } from './secrets-context.js';

/** Which secret is asked for that lies elsewhere: in Vault, in Kubernetes, wherever a backend fetches it. */
export interface ForeignReference {
  /** Its name; it has no `/`. */
  readonly backend: string;
  readonly key: string;
  readonly field?: string | undefined;
  readonly version?: string | undefined;
  /** Where it would be read, and as whom, for the audit log alone: names and texts, nothing secret. */
  readonly upstream?: Readonly<Record<string, string>> | undefined;
}

/** How such a secret comes here. */
export interface ForeignFetch<T> {
  /** Whether a grant of `get` on `<backend>/<key>` is needed; without, what lies behind decides alone. */
  readonly needsGrant: boolean;
  /** Fetches it. It is asked only for those who may have it, and is waited for as long as it takes. */
  fetch(): Promise<T>;
  /** What the audit log is to say of an error that it rejects with: a word, without anything secret. */
  codeOf(error: unknown): string;
}

/** As grants and the audit log name it. */
const nameOf = ({ backend, key }: ForeignReference): string => `${backend}/${key}`;

/**
 * Answers with what lies elsewhere, to those who may have it. Its entry is in the audit log before it leaves, and so is a refusal,
 * or that it could not be fetched. Who has lost the right while it was fetched does not get it.
 *
 * @returns what was fetched, whose bytes are the caller's to wipe
 * @throws CofferError `access_denied`, `invalid_name`, `name_too_long`, `stale`; whatever `fetch` rejects with
 */
export async function fetchForeign<T extends { readonly value: Uint8Array }>(
  context: SecretsContext,
  caller: Caller,
  reference: ForeignReference,
  { needsGrant, fetch, codeOf }: ForeignFetch<T>,
): Promise<T> {
  const { gate, limits, knows } = context;
  const secret = nameOf(reference);
  checkName(secret, limits);
  const { version, field, upstream } = reference;
  const asked: AuditSubject = {
    caller,
    action: 'get-foreign',
    secret,
    reference: { version, field, upstream },
  };
  const mayHave = () => knows(caller) && (!needsGrant || context.policy().allows(caller, 'get', secret));
  if (!mayHave()) return gate.deny(asked);
  let found: T;
  try {
    found = await fetch();
  } catch (error) {
    await gate.ended(asked, codeOf(error));
    // What it says of the secret is an answer, too.
    gate.requireFresh();
    throw error;
  }
  try {
    if (!mayHave()) return await gate.deny(asked);
    await gate.allow(asked);
    return found;
  } catch (error) {
    wipe(found.value);
    throw error;
  }
}
