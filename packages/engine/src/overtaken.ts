import { CofferError } from './errors.js';

/** How often a change is tried again that another instance's change overtook. */
const ATTEMPTS = 16;

export const isConflict = (error: unknown): boolean =>
  error instanceof CofferError && error.code === 'conflict';

export const overtaken = () =>
  new CofferError('conflict', 'what this was decided on was changed by somebody else in the meantime');

/**
 * Commits what was decided; when another instance was faster, decides anew on what is true then, and commits that.
 *
 * @param decide may throw: then nothing is to be done any more
 */
export async function untilNotOvertaken<Decision, Result>(
  first: Decision,
  commit: (decision: Decision) => Promise<Result>,
  decide: () => Decision | Promise<Decision>,
): Promise<Result> {
  let decision = first;
  for (let attempt = 1; ; attempt++) {
    try {
      return await commit(decision);
    } catch (error) {
      if (!isConflict(error) || attempt === ATTEMPTS) throw error;
    }
    decision = await decide();
  }
}
