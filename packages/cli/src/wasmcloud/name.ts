import { Failure } from '../failure.js';

/** Before anything is asked: the protocol's errors do not say whether the name or the value was wrong. @throws Failure */
export function requireName(name: string): void {
  if (name === '') throw new Failure('the name of a secret is empty: write one, such as db-password');
}
