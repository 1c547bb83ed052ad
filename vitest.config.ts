import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

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

/** Files that take minutes, most of which they wait: what begins last is waited for alone. */
const LONG = /cluster\/(chaos|rotation|jepsen\/.*)\.test\.ts$/;

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => LONG.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongFirst },
    // By default one core is left free, of two every second one: most files wait for something most of the time.
    maxWorkers: availableParallelism(),
    projects: [
      suite('unit', ['packages/*/test/**/*.test.ts'], 30_000),
      suite('interop', ['test/interop/**/*.test.ts'], 300_000),
      suite('crash', ['test/crash/**/*.test.ts'], 900_000),
      suite('cluster', ['test/cluster/**/*.test.ts'], 600_000),
      suite('fuzz', ['test/fuzz/**/*.test.ts'], 600_000),
    ],
  },
});
