import { IdentityError } from '../errors.js';
import { checkAge, checkLink, failing, type Ground } from './ground.js';
import { readTrustedOperator, type TrustedOperator } from './tokens.js';

/** The operators that are trusted at one moment. */
export interface OperatorSet {
  readonly texts: readonly string[];
  /** Each by its newest token; by its key alone only where there is no token of it. */
  readonly trusted: readonly TrustedOperator[];
  /** Signing keys that were some operator's, and are none any more. */
  readonly removed: ReadonlyMap<string, TrustedOperator>;
}

/**
 * Reads who the trusted operators are again whenever they are other texts. One that cannot be read trusts nobody, and so do all
 * but the newest token of one operator.
 */
export class Operators {
  readonly #texts: () => readonly string[];
  #set: OperatorSet = { texts: [], trusted: [], removed: new Map() };

  constructor(texts: () => readonly string[]) {
    this.#texts = texts;
  }

  /** The very same object for as long as nothing has changed. */
  current(): OperatorSet {
    const texts = this.#texts();
    if (!sameTexts(texts, this.#set.texts)) this.#set = readSet([...texts], this.#set);
    return this.#set;
  }
}

const sameTexts = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((text, at) => text === b[at]);

function readSet(texts: readonly string[], before: OperatorSet): OperatorSet {
  const trusted = new Map<string, TrustedOperator>();
  for (const text of texts) {
    const operator = readable(text);
    const other = operator && trusted.get(operator.key);
    if (operator && (other === undefined || issuedAt(operator) >= issuedAt(other)))
      trusted.set(operator.key, operator);
  }
  const removed = new Map(before.removed);
  for (const old of before.trusted) {
    for (const key of old.signers) removed.set(key, old);
  }
  for (const { signers } of trusted.values()) for (const key of signers) removed.delete(key);
  return { texts, trusted: [...trusted.values()], removed };
}

/** A key alone says less than any token. */
const issuedAt = ({ token }: TrustedOperator): number => token?.iat ?? Number.NEGATIVE_INFINITY;

function readable(text: string): TrustedOperator | undefined {
  try {
    return readTrustedOperator(text);
  } catch (error) {
    if (error instanceof IdentityError) return undefined;
    throw error;
  }
}

/**
 * Refuses an operator whose token does not hold: signed by another's key, out of time, revoked, or older than one seen before.
 * Of one that is trusted by its key alone only the key can be revoked.
 *
 * @throws ChainError
 */
export function checkOperator({ key, name, signers, token }: TrustedOperator, ground: Ground): void {
  const fail = failing({ what: 'operator', key, name });
  if (token === undefined) {
    if (ground.revocations.keyRevoked(key)) throw fail('key_revoked', 'this key is revoked');
    return;
  }
  if (token.issuer !== key && !signers.has(token.issuer)) {
    throw fail('unknown_issuer', 'its token is signed neither by its own key nor by one of its signing keys');
  }
  checkLink(token, ground);
  checkAge(token, ground);
}
