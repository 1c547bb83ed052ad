import { type Caller, SERVER } from './caller.js';
import type { Policy } from './policy.js';

/** Who may do what at this moment. */
export interface Rights {
  policy(): Policy;
  /** False if a caller has ended who was let in. */
  knows(caller: Caller): boolean;
}

/** True for who administers everything and has not ended, and for the server itself. */
export const administersAll = ({ policy, knows }: Rights, caller: Caller): boolean =>
  caller === SERVER || (knows(caller) && policy().isAdministrator(caller));
