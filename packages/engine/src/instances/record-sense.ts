import { asBuffer } from '../bytes.js';
import { generationOf } from '../crypto/records.js';
import { headerGeneration } from '../header/format.js';
import { HEAD_PREFIX, HEADER_KEY, isHeadKey, MANIFEST_PREFIX, POLICY_PREFIX, VALUE_PREFIX } from '../keys.js';
import { isLaterLife } from '../lives.js';
import type { RecordSense } from '../storage/jetstream/heal-plan.js';

/** Of a head's key and of its values': the kind (1 byte) and the blinded name (32). */
const NAME_BYTES = 1 + 32;

/** What a heal of a shared store has to know of records without a key to open them. */
export const RECORD_SENSE: RecordSense = {
  /** A secret and its values; the header; the manifest and what is under it. */
  groupOf(key) {
    const bytes = asBuffer(key);
    if (HEADER_KEY.equals(bytes)) return 'header';
    const kind = bytes[0];
    const isSecret = kind === HEAD_PREFIX[0] || kind === VALUE_PREFIX[0];
    if (isSecret) return bytes.toString('hex', 1, NAME_BYTES);
    return kind === POLICY_PREFIX[0] || kind === MANIFEST_PREFIX[0] ? 'manifest' : bytes.toString('hex');
  },
  generationOf: (key, bytes) =>
    HEADER_KEY.equals(key) ? headerGeneration(bytes) : generationOf(asBuffer(bytes)),
  isLaterLife,
  isHead: isHeadKey,
  isLasting: (key) => HEADER_KEY.equals(key) || key[0] === MANIFEST_PREFIX[0],
};
