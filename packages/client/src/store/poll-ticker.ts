import { LONGEST_TIMER_MS } from '../http/pause.js';
import type { Ticker } from './options.js';

/** Ticks so many milliseconds after the last poll was over, ± 10 % drawn once, so that programs that start together do not poll together. */
export function pollTicker(interval: number): Ticker {
  const period = Math.min(LONGEST_TIMER_MS, interval * (0.9 + Math.random() * 0.2));
  return {
    start(poll) {
      let timer: NodeJS.Timeout | undefined;
      let ended = false;
      const wait = () => {
        timer = ended ? undefined : setTimeout(tick, period).unref();
      };
      const tick = () => void poll().then(wait);
      wait();
      return () => {
        ended = true;
        clearTimeout(timer);
      };
    },
  };
}
