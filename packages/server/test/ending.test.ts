import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CofferError } from '@coffer/engine';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { canary, expectNoCanary } from '../../../test/support/canary.mjs';
import { endByMistake, endProcess, printNotice } from '../src/ending.js';
import { temporaryFolder } from './support.js';

function openFile(path: string): number {
  const file = openSync(path, 'w');
  onTestFinished(() => closeSync(file));
  return file;
}

describe('a notice', () => {
  it('is one line', async () => {
    const path = join(await temporaryFolder(), 'stderr');
    printNotice('a root key was made', openFile(path));
    expect(readFileSync(path, 'utf8')).toBe('coffer: a root key was made\n');
  });

  it.runIf(process.platform === 'linux')('that cannot be written does no harm', () => {
    printNotice('a root key was made', openFile('/dev/full'));
  });
});

describe('the end of the process', () => {
  it.runIf(process.platform === 'linux')('comes even if nobody can be told why', () => {
    const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
    onTestFinished(() => exit.mockRestore());
    endProcess(new CofferError('io', 'the disk is gone'), openFile('/dev/full'));
    expect(exit).toHaveBeenCalledExactlyOnceWith(1);
  });

  it('by a mistake tells neither its message nor a name that is none, whatever was thrown', () => {
    const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
    onTestFinished(() => exit.mockRestore());
    const said: unknown[] = [];
    const log = { fatal: (...line: unknown[]) => void said.push(...line) };
    const named = (name: unknown) =>
      Object.defineProperty(new Error(`x\n    at ${canary('message')}`), 'name', {
        get: () => {
          if (name === undefined) throw new Error(canary('getter'));
          return name;
        },
      });
    for (const name of [undefined, { toString: () => canary('object') }, `a ${canary('name')}`]) {
      endByMistake(named(name), log);
    }
    expect(exit.mock.calls).toEqual([[70], [70], [70]]);
    expect(JSON.stringify(said)).toContain('ending.test.ts');
    expectNoCanary(JSON.stringify(said), 'the log');
  });
});
