/**
 * What instances ask each other for a heal. It comes over NATS, where others may publish as well: whatever is not exactly a question
 * is none.
 */
export type Question =
  | { readonly ask: 'state' }
  /** The entries behind a key, as many as go into one answer. */
  | { readonly ask: 'entries'; readonly after?: string | undefined }
  /** A piece of a record. */
  | { readonly ask: 'record'; readonly key: string; readonly from: number };

/** Bytes of a question, at most. */
const QUESTION_BYTES = 4 * 1024;

/** @returns undefined for what is no question */
export function parseQuestion(bytes: Uint8Array): Question | undefined {
  if (bytes.length > QUESTION_BYTES) return undefined;
  const fields = fieldsOf(bytes);
  switch (fields?.ask) {
    case 'state':
      return { ask: 'state' };
    case 'entries': {
      const { after } = fields;
      return after === undefined || isKey(after) ? { ask: 'entries', after } : undefined;
    }
    case 'record': {
      const { key, from } = fields;
      return isKey(key) && isCount(from) ? { ask: 'record', key, from } : undefined;
    }
    default:
      return undefined;
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** @returns undefined for what is no JSON object */
export function fieldsOf(bytes: Uint8Array): Fields | undefined {
  try {
    return objectOf(JSON.parse(Buffer.from(bytes).toString()));
  } catch {
    return undefined;
  }
}

const objectOf = (json: unknown): Fields | undefined =>
  typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as Fields) : undefined;

/** A record's key, in base64url. */
export const isKey = (value: unknown): value is string => {
  if (typeof value !== 'string' || value === '') return false;
  return Buffer.from(value, 'base64url').toString('base64url') === value;
};

export const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;
