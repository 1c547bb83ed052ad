import { Failure } from './failure.js';
import { quote } from './quote.js';

/** The value of a flag that takes as many words as come: the next flag may be one of them. */
export function requireMembers(without: readonly string[]): void {
  const flag = without.find((member) => member.startsWith('-'));
  if (flag !== undefined) throw new Failure(`--without takes members, by id or name, and not ${quote(flag)}`);
}
