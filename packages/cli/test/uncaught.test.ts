/** What somebody else's module throws where nobody waits for it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyPair } from '@coffer/identity';
import { expect, onTestFinished, test } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { coffer } from './run.js';

test.each([
  ['a timer', 'setTimeout(() => fail(), 0)'],
  ['a promise that it does not await', 'Promise.resolve().then(fail)'],
  ['anything that is no Error', 'setTimeout(() => { throw fail.text }, 0)'],
])(
  'from %s ends the server with an exit code of its own, and without its message',
  async (_, mistake) => {
    const folder = mkdtempSync(join(tmpdir(), 'coffer-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const module = `function fail() { throw new RangeError(fail.text); }
    fail.text = ${JSON.stringify(canary('message'))};
    export default () => { ${mistake}; return new Promise(() => {}); };\n`;
    writeFileSync(join(folder, 'source.mjs'), module);
    const config = {
      listen: 'none',
      stateDir: join(folder, 'state'),
      rootKey: `file:${join(folder, 'root.key')}`,
      nats: { servers: ['nats://127.0.0.1:1'] },
      trust: { accounts: [createKeyPair('account').publicKey] },
      backends: [{ name: 'careless', kind: 'module', module: './source.mjs' }],
    };
    writeFileSync(join(folder, 'coffer.yaml'), JSON.stringify(config));
    const { code, stderr } = await coffer(['server', '--config', join(folder, 'coffer.yaml')]);
    expect(code).toBe(70);
    expect(stderr).not.toContain(canary('message'));
    const [line = ''] = stderr.split('\n').filter((text) => text.includes('"level":60'));
    const { code: name, at } = JSON.parse(line);
    if (mistake.includes('throw')) expect([name, at]).toEqual([undefined, []]);
    else expect([name, at[0]]).toEqual(['RangeError', expect.stringContaining('source.mjs')]);
  },
  60_000,
);
