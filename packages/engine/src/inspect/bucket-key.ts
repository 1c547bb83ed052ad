import type { RootKeyContext, RootKeySpec } from '../crypto/root-key-spec.js';
import { parseHeader } from '../header/format.js';
import { isMoved } from '../header/moved.js';
import { lookAtRing } from '../header/wrapping.js';
import { movedAway } from '../instances/moved-away.js';
import { HEADER_KEY } from '../keys.js';
import { lastNote } from '../storage/jetstream/continuity.js';
import { Layout } from '../storage/jetstream/layout.js';
import { managerOf } from '../storage/jetstream/manager.js';
import { noAnswer } from '../storage/jetstream/no-answer.js';
import { parseMeta } from '../storage/jetstream/notes.js';
import type { JetStreamOptions } from '../storage/jetstream/options.js';

const ANSWER_MS = 2_000;

/**
 * Whether a root key opens the store of a bucket that is there, of which the asking instance has no replica yet. Changes nothing.
 *
 * @returns false where the bucket holds no store yet
 * @throws CofferError what keeps an instance from serving it: `wrong_root_key`, `no_root_key`, `insecure_root_key`, `tampered`,
 *   `newer_format`, `unfit_store` for one that was moved away; `unavailable`
 */
export async function inspectBucketKey(
  options: JetStreamOptions,
  rootKey: RootKeySpec,
  context: Omit<RootKeyContext, 'promptPassphrase' | 'onNotice'>,
): Promise<boolean> {
  const { bucket } = options;
  const found = await readHeader(options);
  if (!found) return false;
  const { storeId, header } = found;
  const whenMissing = {
    what: `the store in the bucket ${bucket}`,
    advice: 'put a copy of that of the other instances there',
  };
  const quiet = { ...context, whenMissing, onNotice: () => undefined };
  const ring = await lookAtRing(storeId, header, rootKey, quiet);
  try {
    if (isMoved(parseHeader(header), { ring, storeId, bucket })) throw movedAway();
    return true;
  } finally {
    ring.wipe();
  }
}

async function readHeader({ connect, bucket }: JetStreamOptions) {
  const layout = new Layout(bucket);
  const connection = await connect();
  try {
    const manager = await managerOf(connection, ANSWER_MS);
    const meta = await lastNote(manager, layout.stream, layout.meta);
    if (!meta?.data) return undefined;
    const { incarnation } = parseMeta(meta.data);
    const header = await lastNote(manager, layout.stream, layout.record(HEADER_KEY));
    return header?.data && { storeId: incarnation, header: header.data };
  } catch (cause) {
    throw noAnswer(cause);
  } finally {
    await connection.close();
  }
}
