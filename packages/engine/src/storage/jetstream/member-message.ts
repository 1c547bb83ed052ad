import type { JetStreamManager } from '@nats-io/jetstream';
import { HEADER, type Layout } from './layout.js';
import { isPrintOf, type MessageSeal } from './message-seal.js';
import { isRemoved, type Outgoing, type RawMessage } from './messages.js';
import {
  encodeForgotten,
  encodeMember,
  type MemberNote,
  parseForgotten,
  parseMember,
  unlessStrange,
} from './notes.js';

/**
 * What lies under a member's subject, and an instance has sealed: what the member says of itself, or that it was forgotten. Whatever
 * else is there says nothing.
 */
export interface MemberMessage {
  readonly sequence: number;
  /** Of the member: the one that it speaks in, or was forgotten in. */
  readonly life: number;
  /** Undefined: it was forgotten. */
  readonly note: MemberNote | undefined;
}

/** @returns undefined for what no instance has sealed, and as long as there is no key to tell by */
export function sealedMember(seal: MessageSeal, message: RawMessage): MemberMessage | undefined {
  const { subject, headers, data, sequence } = message;
  if (seal.isGood(subject, headers) !== true || !isPrintOf(message)) return undefined;
  return unlessStrange(() => {
    const forgotten = parseForgotten(data);
    if (forgotten !== undefined) return { sequence, life: forgotten, note: undefined };
    const note = parseMember(data);
    return { sequence, life: note.life, note };
  });
}

/** What an instance says that has no key yet, since it reads the store for the first time; or anybody else. */
export function unsealedNote({ headers, data }: RawMessage): MemberNote | undefined {
  return isRemoved(headers) ? undefined : unlessStrange(() => parseMember(data));
}

/** A member's message, to be sealed. @param said a note, or the life that was forgotten */
export function memberMessage(layout: Layout, instance: string, said: MemberNote | number): Outgoing {
  const data = typeof said === 'number' ? encodeForgotten(said) : encodeMember(said);
  return { subject: layout.member(instance), headers: [], data };
}

/** The last message under a member's subject. */
export interface LastOfMember {
  readonly sequence: number;
  /** Somebody says that it is sealed; whether it is, there may be no key to tell by. */
  readonly saysSealed: boolean;
  readonly said: MemberMessage | undefined;
}

/** @returns undefined if nothing is there. Errors as of nats.js */
export async function lastOfMember(
  manager: JetStreamManager,
  layout: Layout,
  seal: MessageSeal,
  instance: string,
): Promise<LastOfMember | undefined> {
  const subject = layout.member(instance);
  const found = await manager.streams.getMessage(layout.stream, { last_by_subj: subject });
  if (!found) return undefined;
  const { seq: sequence, header: headers, data } = found;
  const said = sealedMember(seal, { subject, headers, data, sequence });
  return { sequence, saysSealed: headers?.has(HEADER.seal) ?? false, said };
}
