import { z } from 'zod';
import type { Answer } from './exchange.js';

/** What the API server answers where it has nothing else to. Source: k8s.io/apimachinery, `metav1.Status`. */
const statusSchema = z.object({
  kind: z.literal('Status'),
  message: z.string().default(''),
  reason: z.string().default(''),
  details: z.object({ kind: z.string().default('') }).default({ kind: '' }),
});

export interface Status {
  /** Names who may not do what; nothing of a Secret's content. One line. */
  readonly message: string;
  /** One word, or none. */
  readonly reason: string;
  /** Of what it speaks: `secrets`. */
  readonly about: string;
}

const MESSAGE_LENGTH = 512;
const NONE: Status = { message: '', reason: '', about: '' };

export function statusOf({ body }: Pick<Answer, 'body'>): Status {
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    return NONE;
  }
  const read = statusSchema.safeParse(json);
  if (!read.success) return NONE;
  const { message, reason, details } = read.data;
  return {
    message: message.replace(/[\p{C}\s]+/gu, ' ').slice(0, MESSAGE_LENGTH),
    reason: /^[A-Za-z]{1,64}$/.test(reason) ? reason : '',
    about: details.kind,
  };
}
