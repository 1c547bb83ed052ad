/**
 * For the tests of programs that use coffer.
 *
 * @module @coffer/testing
 */
export { FakeClock } from './fake-clock.js';
export { FakeTicker } from './fake-ticker.js';
export {
  startTestServer,
  type TestGrant,
  TestServer,
  type TestServerOptions,
  type TestToken,
} from './test-server.js';
