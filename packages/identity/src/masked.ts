/**
 * Text for people, without what was written by mistake where a name or a path belongs: seeds, also when they are mistyped by
 * some characters, and tokens. A public key, which has 56 characters and never begins with S, stays.
 */
export function masked(text: string): string {
  return text.replace(SEED_LIKE, '[seed]').replace(TOKEN_LIKE, '[token]');
}

/** Whether a seed stands in a text, so that it can be no name; without regard to case, which some names lose. */
export const holdsSeed = (text: string): boolean => SEED.test(text);

const SEED = /S[A-Z2-7]{57}/i;
/** A whole one inside of other text, or a word that is about as long as one. */
const SEED_LIKE =
  /S[ACMNOPUVX][A-Z2-7]{56}|(?<![A-Z0-9])S[A-Z0-9]{53,61}(?![A-Z0-9])|(?<![A-Za-z0-9])s[a-z2-7]{57}(?![A-Za-z0-9])/g;
/** The base64url of `{"`, and the rest of a JWT. */
const TOKEN_LIKE = /\beyJ[\w-]{16,}(?:\.[\w-]*){0,2}/g;
