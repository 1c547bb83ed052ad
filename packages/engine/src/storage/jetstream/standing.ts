import type { MemberMessage } from './member-message.js';

/** How far an instance's replica is. */
export interface Reach {
  readonly epoch: number;
  readonly position: number;
  /** How often the instance was forgotten, and came back: that it was before means nothing. */
  readonly life: number;
}

/**
 * Whether what a replica has may not be held against the stream: the instance was forgotten, or it has said that it had more, or was
 * to compare itself with all of a later epoch's stream. What was removed since may be forgotten by all, and looks like new there.
 */
export function isBlank(said: MemberMessage | undefined, { epoch, position, life }: Reach): boolean {
  if (!said || said.life < life) return false;
  if (!said.note) return true;
  const { note } = said;
  return note.epoch > epoch || (note.epoch === epoch && note.confirmed > position);
}

/** Up to which sequence an instance has what this stream had, as the stream itself says; 0 if it does not. */
export function commonOf(said: MemberMessage | undefined): number {
  if (!said?.note) return 0;
  const { confirmed, since = said.sequence } = said.note;
  // A note of before a stream was put back can come into it after.
  return confirmed < Math.min(since, said.sequence) ? confirmed : 0;
}
