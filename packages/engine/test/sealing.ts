import { createHmac } from 'node:crypto';
import { MessageSeal } from '../src/storage/jetstream/message-seal.js';

/** What only the instances of one store have. */
export const keyed = (key: string) => (message: Uint8Array) =>
  createHmac('sha256', key).update(message).digest();

/** As the instances of one store seal what they write to a bucket. */
export const sealOf = (stream: string, key = 'a'): MessageSeal =>
  new MessageSeal({ stream, authenticate: keyed(key) });
