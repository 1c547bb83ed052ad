import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { canary, expectNoCanary } from '../../../test/support/canary.mjs';
import { CofferClientError } from '../src/index.js';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** What a program prints that makes URLs of secrets which are none. */
function printed(work: string): string {
  const program = `
    import { EnvClient, field, fields, Store, Updater } from '@coffer/client';
    const store = await Store.open({ client: new EnvClient(), secrets: ['url'] });
    const build = (value) => new URL(value.reveal());
    ${work}`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: HERE,
    encoding: 'utf8',
    env: { URL: canary('printed') },
  });
  return stdout + stderr;
}

test.each([
  ['uncaught', `await Updater.open(store, 'url', build);`],
  ['uncaught in a callback', `setImmediate(() => { throw error; }); ${caught('error')}`],
  ['logged', `${caught('error')} console.log(error); console.error('%o', error);`],
  [
    'copied',
    `${caught('error')} console.log({ ...error }, JSON.stringify(error), String(error), error.cause);`,
  ],
])('an error that is %s does not print what the program threw', (_how, work) => {
  const output = printed(work);
  expect(output).toMatch(/update_failed/);
  expectNoCanary(output, 'what the program printed');
});

test('an error of fields does not print what their parsers threw', () => {
  const output = printed(`await fields({ url: field.parsed('url', build) }).from(store);`);
  expect(output).toContain('url (secret "url"): what parses it throws');
  expectNoCanary(output, 'what the program printed');
});

test('an error says nothing of a status and a request that there were not', () => {
  const error = new CofferClientError('closed', 'the store is closed');
  expect(inspect(error)).toMatch(/\{ code: 'closed' \}|code: 'closed'\n\}/);
  expect('status' in error || 'requestId' in error).toBe(false);
  const refused = new CofferClientError('access_denied', 'no', { status: 403, requestId: 'r-1' });
  expect(refused).toMatchObject({ status: 403, requestId: 'r-1' });
});

function caught(name: string): string {
  return `const ${name} = await Updater.open(store, 'url', build).catch((error) => error); if (${name}.thrown.code !== 'ERR_INVALID_URL') throw 'no';`;
}
