/** The same memory as a Buffer, which lmdb's and sodium-native's functions want. */
export const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A record's key wherever it stands in text: base64url, since keys are bytes. */
export const keyText = (key: Uint8Array): string => asBuffer(key).toString('base64url');

export const keyOfText = (text: string): Buffer => Buffer.from(text, 'base64url');
