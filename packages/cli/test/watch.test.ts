import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { TemporaryFolder } from '../../../test/support/processes.mjs';
import { CofferServer } from '../../../test/support/servers.mjs';
import { BIN, type RunningServer, startServer } from './run.js';

let server: RunningServer;
beforeAll(async () => {
  server = await startServer('--dev');
});
afterAll(async () => server?.[Symbol.asyncDispose]());

/** `coffer watch`, and its lines as they come. */
function start(...args: string[]) {
  return startAt(server.url, ...args);
}

function startAt(url: string, ...args: string[]) {
  const child = spawn(process.execPath, [BIN, 'watch', ...args], {
    env: { PATH: process.env.PATH ?? '', COFFER_SERVER: url },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  let onNews: () => void = () => {};
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    onNews();
  });
  /** All lines once there are so many. */
  const lines = async (count: number): Promise<string[]> => {
    while (output.split('\n').length <= count) {
      await new Promise<void>((resolve) => {
        onNews = resolve;
      });
    }
    return output.split('\n').slice(0, count);
  };
  return { child, lines };
}

describe('watch', () => {
  test('prints a line for each change of the secrets that the patterns name', async () => {
    const { lines } = start('w/*', 'line\nbreak');
    expect(await lines(1)).toEqual(['ready']);
    for (const name of ['other', 'w/a', 'line\nbreak']) await server.run(['put', name], { input: 'x' });
    await server.run(['create-version', 'w/a', '7'], { input: 'seven' });
    expect(await lines(4)).toEqual([
      'ready',
      'change w/a active 1 versions 1',
      'change "line\\nbreak" active 1 versions 1',
      'change w/a active 7 versions 1,7',
    ]);
  });

  test('prints JSON with ids, from which a later one goes on', async () => {
    const { child, lines } = start('--json', 'j/*');
    await lines(1);
    await server.run(['put', 'j/a'], { input: 'x' });
    const [, change] = await lines(2);
    expect(JSON.parse(change ?? '')).toEqual({
      type: 'change',
      id: expect.any(String),
      name: 'j/a',
      versions: [1],
      activeVersion: 1,
    });
    child.kill();
    await server.run(['put', 'j/b'], { input: 'x' });
    const next = start('--since', JSON.parse(change ?? '').id, 'j/*');
    expect(await next.lines(2)).toEqual(['ready', 'change j/b active 1 versions 1']);
  });

  test('says on standard error, once each, that its server went away and came back', async () => {
    using home = new TemporaryFolder();
    let own = await CofferServer.start({ dev: true, folder: home });
    const { child, lines } = startAt(own.url);
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (said += text));
    await lines(1);
    await own.stop();
    await expect.poll(() => said).toMatch(/^coffer: warning: http:[^\n]*; trying again\n$/);
    own = await CofferServer.start({ dev: true, folder: home, args: ['--listen', new URL(own.url).host] });
    expect(await lines(2)).toEqual(['ready', 'reset']);
    await expect.poll(() => said).toMatch(/^[^\n]+\ncoffer: connected again\n$/);
    await own.stop();
  });

  test('ends with the last reader of its output, and with one line where it cannot begin', async () => {
    const { child, lines } = start('e/*');
    await lines(1);
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.stdout.destroy();
    await server.run(['put', 'e/a'], { input: 'x' });
    expect(await ended).toBe(1);
    expect(await server.run(['watch', ''])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^coffer: the watch ended: a pattern has 1 to 1024 bytes\n$/),
    });
  });
});
