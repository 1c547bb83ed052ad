import type { Principal } from '@coffer/engine';
import type { UserChain } from '@coffer/identity';
import { shownName } from './shown-name.js';

/** A user with more of them has none beyond: each costs a look at the policy. */
const TAGS = 64;
const TAG_BYTES = 128;
/** What a grant's author can see, and no terminal obeys. */
const VISIBLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u;

/**
 * The principals of a verified user: itself, and its tags. Each id begins with the account's key, so that nobody outside
 * of the account can make one of its.
 *
 * Who holds a signing key with a scope chooses the tags of the users that it signs, and may do so only within the scope,
 * which says nothing of tags: they count for nothing.
 */
export function principalsOf({
  subject,
  name,
  account,
  tags,
  role,
}: Pick<UserChain, 'subject' | 'name' | 'account' | 'tags' | 'role'>): [Principal, ...Principal[]] {
  const shown = shownName(name);
  const user: Principal = {
    id: `nats:${account.key}/${subject}`,
    kind: 'nats',
    ...(shown !== '' && { name: shown }),
  };
  if (role !== undefined) return [user];
  const usable = [...new Set(tags)].filter((tag) => VISIBLE.test(tag) && Buffer.byteLength(tag) <= TAG_BYTES);
  return [
    user,
    ...usable
      .slice(0, TAGS)
      .map((tag): Principal => ({ id: `nats-tag:${account.key}:${tag}`, kind: 'nats-tag' })),
  ];
}
