import { IdentityError } from '../errors.js';
import { checkAge, checkLink, failing, type Ground } from './ground.js';
import { type OperatorToken, readOperator } from './tokens.js';

/** The operators that are trusted at one moment. */
export interface OperatorSet {
  readonly texts: readonly string[];
  /** The newest token of each. */
  readonly tokens: readonly OperatorToken[];
  /** Signing keys that were some operator's, and are none any more. */
  readonly removed: ReadonlyMap<string, OperatorToken>;
}

/**
 * Reads the tokens of trusted operators again whenever they are other texts. One that cannot be read trusts nobody, and so do
 * all but the newest of one operator.
 */
export class Operators {
  readonly #texts: () => readonly string[];
  #set: OperatorSet = { texts: [], tokens: [], removed: new Map() };

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
  const tokens = new Map<string, OperatorToken>();
  for (const text of texts) {
    const token = readable(text);
    const other = token && tokens.get(token.key);
    if (token && (other === undefined || token.iat >= other.iat)) tokens.set(token.key, token);
  }
  const removed = new Map(before.removed);
  for (const old of before.tokens) {
    for (const key of old.signers) removed.set(key, old);
  }
  for (const { signers } of tokens.values()) for (const key of signers) removed.delete(key);
  return { texts, tokens: [...tokens.values()], removed };
}

function readable(text: string): OperatorToken | undefined {
  try {
    return readOperator(text);
  } catch (error) {
    if (error instanceof IdentityError) return undefined;
    throw error;
  }
}

/**
 * Refuses an operator whose token does not hold: signed by another's key, out of time, revoked, or older than one seen before.
 *
 * @throws ChainError
 */
export function checkOperator(operator: OperatorToken, ground: Ground): void {
  const { key, issuer, signers } = operator;
  if (issuer !== key && !signers.has(issuer)) {
    throw failing(operator)(
      'unknown_issuer',
      'its token is signed neither by its own key nor by one of its signing keys',
    );
  }
  checkLink(operator, ground);
  checkAge(operator, ground);
}
