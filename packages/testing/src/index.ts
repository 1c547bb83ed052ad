export { FakeClock } from './fake-clock.js';
export { FakeTicker } from './fake-ticker.js';
