import { CofferError } from '../errors.js';
import { HEADER_KEY } from '../keys.js';
import type { Storage } from '../storage/storage.js';

/** A move puts the header in last, and takes it out first. */
export const movedAway = () =>
  new CofferError(
    'unfit_store',
    'the bucket holds no store: one that was moved away, or whose move into it was not completed. Repeat coffer storage migrate, ' +
      'or name another bucket',
  );

/** @throws CofferError `unfit_store` if the store was moved away: nothing may be written any more */
export function requireStore(storage: Storage): void {
  if (storage.shared && !storage.get(HEADER_KEY)) throw movedAway();
}
