import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { coffer } from './run.js';

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'coffer-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A configuration file that nothing is wrong with, and more lines. */
function configFile(...lines: readonly string[]): string {
  const folder = temporaryFolder();
  const path = join(folder, 'coffer.yaml');
  const right = ['listen: 127.0.0.1:0', `stateDir: ${folder}/state`, `rootKey: file:${folder}/root.key`];
  writeFileSync(path, [...right, ...lines, ''].join('\n'));
  return path;
}

describe('coffer config check', () => {
  test('prints every setting with its source, and what it looked at', async () => {
    const file = configFile();
    const { code, stdout, stderr } = await coffer(['config', 'check', file], {
      env: { COFFER_PUBLIC_URL: 'https://coffer.example' },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^listen +127\\.0\\.0\\.1:0 +${file}:1$`, 'm'));
    expect(stdout).toMatch(/^publicUrl +https:\/\/coffer\.example +COFFER_PUBLIC_URL$/m);
    expect(stdout).toMatch(/^limits\.nameBytes +1024 +default$/m);
    expect(stdout).toMatch(/^ok +root key +\S+ is not there yet: the first start makes it$/m);
    expect(stdout).not.toContain('\u001b[');
  });

  test('names every problem, the last lines, and fails', async () => {
    const { code, stdout, stderr } = await coffer([
      'config',
      'check',
      configFile('lisen: x', 'insecureHttp: 1'),
    ]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'coffer: there are 2 problems\n' });
    expect(stdout.trimEnd().split('\n').slice(-2).sort()).toEqual([
      expect.stringMatching(/^problem +configuration +\S+:4: lisen: unknown key$/),
      expect.stringMatching(/^problem +configuration +\S+:5: insecureHttp: /),
    ]);
  });

  test('says that all else is of no file, where the one that is named cannot be read', async () => {
    const { code, stdout } = await coffer(['config', 'check', '/nowhere.yaml']);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^problem +configuration +.*\/nowhere\.yaml: there is no such file$/m);
    expect(stdout).toMatch(/^warning +configuration +nothing was taken from \/nowhere\.yaml: /m);
    expect((await coffer(['config', 'check'])).stdout).not.toContain('nothing was taken');
  });

  test('prints the same as JSON, and takes the file as --config too', async () => {
    const file = configFile();
    const { code, stdout } = await coffer(['config', 'check', '--json', '--config', file]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      settings: expect.arrayContaining([
        { key: 'listen', value: '127.0.0.1:0', from: { kind: 'file', name: file, line: 1 } },
        { key: 'publicUrl', value: null, from: { kind: 'default' } },
      ]),
      findings: expect.arrayContaining([{ subject: 'configuration', level: 'ok', says: `${file} is right` }]),
    });
    expect(await coffer(['config', 'check', file, '--config', file])).toMatchObject({ code: 1 });
  });
});
