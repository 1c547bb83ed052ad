import { kindOfPublicKey } from '@coffer/identity';
import type { Asker } from '@coffer/wasmcloud';
import { z } from 'zod';

/** Only nats-server makes such replies, for requests through a service import (2.15: `client.go`, `isReservedReply`). */
const IMPORTED = '_R_.';

/** As nats-server writes it (2.15: `events.go`, `ClientInfo`), as far as it is needed. */
const clientInfo = z.object({ acc: z.string(), user: z.string(), jwt: z.string() });

/** What is known of the NATS server that hands the requests on. */
export interface RequestInfoGround {
  readonly serverVersion: string | undefined;
  /** The account that requests come by; undefined: it is not made of a key. */
  readonly ownAccount: string | undefined;
}

/** Whom a request's header names; whether that is so, their token has to show. */
export interface NamedRequester {
  readonly account: string;
  readonly user: string;
  readonly jwt: string;
}

/** Why a requester is not believed, in a sentence for it. */
export class NotBelieved extends Error {}

/**
 * Who sent a request through a service import that shares its requester, as nats-server says in `Nats-Request-Info`.
 *
 * Anybody in our own account can send that header, and nats-server hands it on as it is: it counts only where the reply shows that
 * the request came through a service import, for which nats-server writes the header anew. In it `user` is what its client
 * says in CONNECT, and nobody checks that: the user is whose token stands there, for which nats-server asked for the signature.
 * Of a leaf node's messages nats-server checks neither reply nor header: the token must be one of who is trusted, too.
 *
 * Source: nats-server 2.15 (`client.go`: `processServiceImport`, `processInboundClientMsg`, `getRawAuthUser`; `auth.go`:
 * `processClientOrLeafAuthentication`). Before 2.11.15 and 2.12.6 the header could be forged (CVE-2026-33223, CVE-2026-33246).
 *
 * @throws NotBelieved
 */
export function namedRequester(
  { requestInfo = '', reply }: Pick<Asker, 'requestInfo' | 'reply'>,
  { serverVersion, ownAccount }: RequestInfoGround,
): NamedRequester {
  if (!reply.startsWith(IMPORTED)) {
    throw new NotBelieved(
      'Nats-Request-Info counts only where nats-server wrote it, for a request through a service import',
    );
  }
  if (!cannotBeForged(serverVersion)) {
    throw new NotBelieved(
      `this NATS server (${serverVersion ?? 'of no version'}) can be made to write a wrong Nats-Request-Info: it takes 2.11.15, 2.12.6 or a newer one`,
    );
  }
  const named = identityIn(requestInfo);
  // Below it nats-server is not in operator mode, and checks no tokens.
  if (ownAccount === undefined || named.account === ownAccount) {
    throw new NotBelieved(
      'a service import shares its requester only where both accounts are made of keys, and are not the same',
    );
  }
  return named;
}

function identityIn(text: string): NamedRequester {
  const { acc, user, jwt } = read(text);
  const areKeys = kindOfPublicKey(acc) === 'account' && kindOfPublicKey(user) === 'user';
  if (areKeys) return { account: acc, user, jwt };
  throw new NotBelieved('your identity on NATS is not made of keys: come as a user of an operator’s account');
}

function read(text: string): z.output<typeof clientInfo> {
  try {
    return clientInfo.parse(JSON.parse(text));
  } catch {
    throw new NotBelieved(
      'your identity on NATS is not made of keys: come as a user of an operator’s account',
    );
  }
}

/** The first version of each line that cannot be made to hand on a forged header; of what comes before a release nobody knows. */
export function cannotBeForged(version: string | undefined): boolean {
  const [, major, minor, patch] = /^(\d+)\.(\d+)\.(\d+)$/.exec(version ?? '') ?? [];
  if (patch === undefined) return false;
  if (Number(major) !== 2) return Number(major) > 2;
  if (Number(minor) === 11) return Number(patch) >= 15;
  if (Number(minor) === 12) return Number(patch) >= 6;
  return Number(minor) > 12;
}
