import { CofferError } from '../errors.js';
import { saysMoved } from '../header/moved.js';
import { HEADER_KEY } from '../keys.js';
import type { Storage } from '../storage/storage.js';

/** The bucket has the store's last state, and says that it is served elsewhere since. */
export const movedAway = (cause?: unknown) =>
  new CofferError(
    'unfit_store',
    'the store was moved away from this bucket with coffer storage migrate, and is served where it was moved to. To bring it back, ' +
      'move it from there with --to jetstream; or name another bucket',
    { cause },
  );

/** A move puts the header in last; and who has a replica sees that it was removed, and does not follow. */
export const withoutHeader = () =>
  new CofferError(
    'unfit_store',
    'the bucket holds no store: it has records, and no header. Either a move into it was not completed: repeat coffer storage ' +
      'migrate; or somebody has removed the header: run coffer storage heal at an instance that has its replica; or name another bucket',
  );

/** @throws CofferError `unfit_store` if the store was moved away: nothing may be written any more */
export function requireStore(storage: Storage): void {
  if (!storage.shared) return;
  const header = storage.get(HEADER_KEY);
  if (!header) throw withoutHeader();
  if (saysMoved(header.bytes)) throw movedAway();
}
