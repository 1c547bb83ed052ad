import type { ChainLink } from './chain.js';
import { checkAge, checkLink, failing, type Ground } from './ground.js';
import { checkOperator, type OperatorSet } from './operators.js';
import type { AccountToken, TrustedOperator } from './tokens.js';

/** An account that somebody trusted vouches for. */
export interface Standing {
  readonly key: string;
  readonly name: string;
  readonly operator?: TrustedOperator | undefined;
  /** Absent for a bare trusted account of which the resolver has no token. */
  readonly token?: AccountToken | undefined;
  /** Its own key signs for nobody. */
  readonly strict: boolean;
  readonly links: readonly ChainLink[];
}

export interface AccountAnchors {
  readonly operators: OperatorSet;
  /** Accounts that are trusted without an operator. */
  readonly bare: ReadonlySet<string>;
}

/**
 * Tells on whose word an account is trusted.
 *
 * An operator's key or one of its signing keys signed its token; under strict signing key usage a signing key, and then only
 * signing keys sign for the account (nats-io/jwt `OperatorClaims.DidSign`; nats-server 2.15 `processTrustedKeys` and
 * `Account.hasIssuer`). Or it is trusted bare, and signed its token itself or has none: the revocations in one that somebody else
 * signed can neither be believed nor passed over.
 *
 * @param token what the resolver has; undefined: nothing
 * @throws ChainError
 */
export function standingOf(
  key: string,
  token: AccountToken | undefined,
  anchors: AccountAnchors,
  ground: Ground,
): Standing {
  const operator = token && operatorOf(token, anchors.operators);
  if (token && operator) return underOperator(token, operator, ground);
  const link = failing({ what: 'account', key, name: token?.name ?? '' });
  if (anchors.bare.has(key)) {
    if (token === undefined || token.issuer === key) return bareStanding(key, token, ground);
    throw link(
      'unknown_issuer',
      `it is trusted by its key, and what its token says cannot be believed: the key ${token.issuer}, which signed it, is ` +
        'none of a trusted operator. Trust that operator, or take the token away from where accounts are kept',
    );
  }
  if (token === undefined) {
    throw link(
      'unknown_issuer',
      'there is no such account where accounts are kept, and none is trusted by its key',
    );
  }
  const former = anchors.operators.removed.get(token.issuer);
  if (former) {
    const isThere = anchors.operators.trusted.some(({ key }) => key === former.key);
    throw link(
      'signing_key_removed',
      isThere
        ? `the key ${token.issuer}, which signed its token, is no signing key of operator ${former.key} any more`
        : `operator ${former.key}, whose key signed its token, is trusted no more, or its token cannot be read`,
    );
  }
  throw link('unknown_issuer', `no trusted operator has the key ${token.issuer}, which signed its token`);
}

const operatorOf = ({ issuer }: AccountToken, { trusted }: OperatorSet): TrustedOperator | undefined =>
  trusted.find(({ key, signers }) => key === issuer || signers.has(issuer));

function underOperator(token: AccountToken, operator: TrustedOperator, ground: Ground): Standing {
  checkOperator(operator, ground);
  if (operator.strict && !operator.signers.has(token.issuer)) {
    throw failing(token)(
      'strict_signing_keys',
      'its token is signed by the operator’s own key, and the operator asks for a signing key',
    );
  }
  checkLink(token, ground);
  checkAge(token, ground);
  const { key, name } = token;
  const above = operator.token ?? { what: 'operator', key: operator.key, name: operator.name };
  return { key, name, operator, token, strict: operator.strict, links: [linkTo(above), linkTo(token)] };
}

function bareStanding(key: string, token: AccountToken | undefined, ground: Ground): Standing {
  const self = token ?? { what: 'account', key, name: '' };
  if (token) {
    checkLink(token, ground);
    checkAge(token, ground);
  } else {
    const fail = failing({ what: 'account', key, name: '' });
    if (ground.seen.knows(key)) {
      throw fail(
        'unknown_issuer',
        'the token by which it told of its signing keys and revocations is there no more',
      );
    }
    if (ground.revocations.keyRevoked(key)) throw fail('key_revoked', 'this key is revoked');
  }
  const link = { what: 'account', key, name: self.name, issuer: token?.issuer } as const;
  return { key, name: self.name, token, strict: false, links: [link] };
}

export const linkTo = ({ what, key, name, issuer }: ChainLink): ChainLink => ({ what, key, name, issuer });
