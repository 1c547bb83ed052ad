/**
 * For the tests of programs that use coffer.
 *
 * @module @coffer/testing
 */
export { FakeClock } from './fake-clock.js';
export { FakeTicker } from './fake-ticker.js';
