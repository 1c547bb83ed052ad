import type { AuditSubject } from './audit/entry.js';
import type { Catalog } from './catalog.js';
import type { KeyRing } from './crypto/key-ring.js';
import type { Gate } from './gate.js';
import type { Action } from './grant.js';
import { checkName, type Limits } from './names.js';
import type { Rights } from './rights.js';

/** What the verbs on secrets stand on. */
export interface SecretsContext extends Rights {
  readonly catalog: Catalog;
  readonly gate: Gate;
  readonly ring: KeyRing;
  readonly limits: Limits;
  readonly now: () => Date;
}

/** Undefined if the caller may; otherwise the refusal, which is in the log. @throws CofferError for what is no name */
export function refusalOf(
  { limits, policy, gate }: SecretsContext,
  asked: AuditSubject & { readonly secret: string },
  action: Action,
): Promise<never> | undefined {
  checkName(asked.secret, limits);
  return policy().allows(asked.caller, action, asked.secret) ? undefined : gate.deny(asked);
}
