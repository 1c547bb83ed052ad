import type { AccountClaims, ActivationClaims, OperatorClaims, UserClaims } from './claims.js';
import type { Unsigned } from './jwt.js';

/** Claims that are there in full, to be changed before they are signed. */
type New<Nats extends object> = Unsigned<Nats> & { readonly nats: Nats };

/** Claims as nsc begins them: no limits, JetStream off. Sign them with `encodeJwt`. */

export const newOperator = (subject: string, name: string): New<OperatorClaims['nats']> => ({
  name,
  sub: subject,
  nats: { type: 'operator', version: 2 },
});

export const newAccount = (subject: string, name: string): New<AccountClaims['nats']> => ({
  name,
  sub: subject,
  nats: {
    limits: {
      subs: -1,
      data: -1,
      payload: -1,
      imports: -1,
      exports: -1,
      wildcards: true,
      conn: -1,
      leaf: -1,
    },
    default_permissions: { pub: {}, sub: {} },
    authorization: {},
    type: 'account',
    version: 2,
  },
});

/** @param scoped the key that will sign it has a scope, so that it may have no permissions and limits of its own */
export const newUser = (subject: string, name: string, { scoped = false } = {}): New<UserClaims['nats']> => ({
  name,
  sub: subject,
  nats: {
    pub: {},
    sub: {},
    ...(scoped ? {} : { subs: -1, data: -1, payload: -1 }),
    type: 'user',
    version: 2,
  },
});

/** Lets the account `subject` import what is exported under `on`. */
export const newActivation = (
  subject: string,
  { name, on, kind }: { readonly name: string; readonly on: string; readonly kind: 'stream' | 'service' },
): New<ActivationClaims['nats']> => ({
  name,
  sub: subject,
  nats: { subject: on, kind, type: 'activation', version: 2 },
});
