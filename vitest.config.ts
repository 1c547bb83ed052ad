import { defineConfig } from 'vitest/config';

/**
 * A suite a project: `npm test` runs `unit`; the others need outside programs, which .ci/run installs. What is polled for is
 * waited for, on a busy machine too, rather than given up after vitest's second.
 */
const suite = (name: string, include: string[], timeout: number) => ({
  test: {
    name,
    include,
    testTimeout: timeout,
    hookTimeout: timeout,
    pool: 'forks' as const,
    expect: { poll: { timeout: 20_000 } },
  },
});

export default defineConfig({
  test: {
    projects: [
      suite('unit', ['packages/*/test/**/*.test.ts'], 30_000),
      suite('interop', ['test/interop/**/*.test.ts'], 300_000),
      suite('crash', ['test/crash/**/*.test.ts'], 900_000),
      suite('cluster', ['test/cluster/**/*.test.ts'], 600_000),
      suite('fuzz', ['test/fuzz/**/*.test.ts'], 600_000),
    ],
  },
});
