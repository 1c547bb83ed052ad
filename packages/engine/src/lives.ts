/** More than changes can be made in a second; with it a generation is a safe integer until 2242. */
export const STARTS_PER_SECOND = 2 ** 20;

/** More changes than a life ever has. */
const LONGEST = 60 * STARTS_PER_SECOND;

/** The lowest generation at which a secret's life can begin in the second of `now`. */
export const startOf = (now: Date): number => Math.floor(now.getTime() / 1_000) * STARTS_PER_SECOND;

/**
 * Whether a secret's generation is of a life that began after the one was over in which it had the other. What was removed for good has
 * been deleted for so long that whatever begins is far above.
 */
export const isLaterLife = (generation: number, removed: number): boolean => generation > removed + LONGEST;
