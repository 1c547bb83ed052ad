import type { Engine, SharedHealth } from '@coffer/engine';
import type { Logger } from 'pino';

/** Of a bucket's limit: from then on a person should know, and below that it is as it should be again. */
export const NEARLY_FULL = 0.9;
const ROOM_AGAIN = 0.85;
/** Between two looks. */
const LOOK_MS = 5_000;

type Room = SharedHealth['room'];

/** 0 where there is no limit. */
export const shareOf = (room: Room): number => (room?.maxBytes ? room.bytes / room.maxBytes : 0);

/** In fixed words, for whoever asks; undefined as long as there is room. */
export function warningOf(room: Room): string | undefined {
  const share = shareOf(room);
  if (room?.problem)
    return `the store has no room${share >= NEARLY_FULL ? ` (${percent(share)})` : ''}: ${REFUSED}`;
  return share >= NEARLY_FULL ? `the store is nearly full (${percent(share)})` : undefined;
}

/** Whole, and not 100 of what has some room left. */
export const percent = (share: number): string => `${Math.floor(share * 100)} %`;

const REFUSED =
  'changes are refused, but for what makes some; delete what is not needed, or give it more: "coffer storage status" says of what';

/**
 * Tells the log when a store in JetStream gets nearly full, when it is full, and when there is room again.
 *
 * @returns a function that ends it
 */
export function tellRoom(
  engine: Pick<Engine, 'sharedHealth'>,
  log: Pick<Logger, 'info' | 'warn' | 'error'>,
  lookMs = LOOK_MS,
): () => void {
  let told: 'room' | 'nearly' | 'full' = 'room';
  const look = () => {
    const { room } = engine.sharedHealth ?? {};
    if (!room) return;
    const { bytes, maxBytes, problem } = room;
    const share = shareOf(room);
    const fields = { bytes, ...(maxBytes !== undefined && { maxBytes, share: percent(share) }) };
    if (problem) {
      if (told !== 'full')
        log.error({ ...fields, reason: problem.message }, 'the store has no room: changes are refused');
      told = 'full';
    } else if (share >= NEARLY_FULL) {
      if (told === 'room') {
        log.warn(
          fields,
          'the bucket of the store is nearly full: delete what is not needed, or give it more ("nats stream edit KV_BUCKET --max-bytes BYTES")',
        );
      }
      if (told === 'full') log.info(fields, 'the store has some room again: it takes changes');
      told = 'nearly';
    } else if (told === 'full' || (told === 'nearly' && share < ROOM_AGAIN)) {
      log.info(fields, 'the store has room again');
      told = 'room';
    }
  };
  look();
  const timer = setInterval(look, lookMs).unref();
  return () => clearInterval(timer);
}
