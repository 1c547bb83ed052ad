/** Of a day, `HH:MM:SS` each; may cross midnight. */
export interface TimeRange {
  readonly start?: string | undefined;
  readonly end?: string | undefined;
}

/** A user's hours: the ranges, and the place whose clock counts (IANA); without one the server's own. */
export interface Hours {
  readonly times: readonly TimeRange[];
  readonly location?: string | undefined;
}

const DAY = 24 * 60 * 60;

/**
 * Tells for how many more seconds a user is let in; undefined: not now.
 *
 * By the rules of nats-server 2.15 (`validateTimes`): a range is open at both ends, one that ends before it starts crosses
 * midnight, of several the longest counts, and one that cannot be read lets nobody in.
 */
export function hoursLeft({ times, location }: Hours, now: Date): number | undefined {
  const ranges = times.map(({ start, end }) => [secondOfDay(start), secondOfDay(end)]);
  const at = timeIn(location, now);
  if (at === undefined) return undefined;
  let longest: number | undefined;
  for (const [start, end] of ranges) {
    if (start === undefined || end === undefined) return undefined;
    const left = leftOf(start, end, at);
    if (left !== undefined) longest = Math.max(longest ?? 0, left);
  }
  return longest;
}

function leftOf(start: number, end: number, at: number): number | undefined {
  if (start < at && at < end) return end - at;
  if (start <= end) return undefined;
  if (at < end) return end - at;
  return start < at ? end + DAY - at : undefined;
}

/** As Go reads `15:04:05`: the hour may have one digit, and fractions of a second count for nothing. */
function secondOfDay(text: string | undefined): number | undefined {
  const [, hours, minutes, seconds] = /^(\d{1,2}):(\d\d):(\d\d)(?:[.,]\d+)?$/.exec(text ?? '') ?? [];
  if (Number(hours) > 23 || Number(minutes) > 59 || Number(seconds) > 59) return undefined;
  const total = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return Number.isNaN(total) ? undefined : total;
}

/** The second of the day that clocks there show, with its fraction; undefined for a place that nobody knows. */
function timeIn(location: string | undefined, now: Date): number | undefined {
  const fraction = now.getMilliseconds() / 1000;
  if (!location || location === 'Local') {
    return now.getHours() * 3600 + now.getMinutes() * 60 + now.getSeconds() + fraction;
  }
  // Offsets are names to JavaScript, and none to Go.
  if (/^[+-]/.test(location)) return undefined;
  try {
    const parts = new Intl.DateTimeFormat('en-GB', {
      timeZone: location,
      hourCycle: 'h23',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    }).formatToParts(now);
    const part = (type: string) => Number(parts.find((one) => one.type === type)?.value);
    return part('hour') * 3600 + part('minute') * 60 + part('second') + fraction;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
