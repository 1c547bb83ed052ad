import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../packages/client/src/index.js';
import { coffer } from '../support/servers.mjs';
import { LIMITED, TARGETS, type Target } from './targets.js';

describe.each(TARGETS)('coffer run against $name', ({ start }) => {
  let target: Target;
  beforeAll(async () => {
    target = await start();
    await using client = new Client({ server: target.url });
    for (const value of ['one', 'two', 'three']) await client.put('shared/a', Buffer.from(value));
    await client.activate('shared/a', 2);
    await client.put('info-only/b', Buffer.from('b'));
  });
  afterAll(async () => target?.[Symbol.asyncDispose]());

  const run = async (url: string, ...mappings: string[]) => {
    const print = [
      '--',
      process.execPath,
      '-p',
      '[process.env.A, process.env.B, process.env.SETEC_SERVER].join()',
    ];
    const args = mappings.flatMap((mapping) => ['--env', mapping]);
    const { code, stdout, stderr } = await coffer(['run', ...args, ...print], { env: { SETEC_SERVER: url } });
    return { code, stdout: stdout.toString(), stderr: stderr.toString() };
  };

  it('gives the command active and stated versions, and not the password of the URL', async () => {
    const withoutPassword = target.url.replace(/\/\/.*@/, '//');
    expect(await run(target.url, 'A=shared/a', 'B=shared/a@3')).toEqual({
      code: 0,
      stdout: `two,three,${withoutPassword}\n`,
      stderr: '',
    });
  });

  it('cannot watch what setec does not tell of', async ({ skip }) => {
    if (target.kind === 'coffer') return skip('coffer tells of changes');
    const args = ['run', '--watch', '--env', 'A=shared/a', '--', 'true'];
    const { code, stderr } = await coffer(args, { env: { SETEC_SERVER: target.url } });
    expect(code).toBe(1);
    expect(stderr.toString()).toMatch(/^coffer: nothing was started: .* cannot tell of changes/);
  });

  it('names all that is missing or refused', async ({ skip }) => {
    expect((await run(target.url, 'A=shared/none', 'B=shared/a@9', 'C=shared/a')).stderr).toBe(
      'coffer: nothing was started: "shared/none": not found; version 9 of "shared/a": not found\n',
    );
    if (target.limitedUrl === undefined) return skip('with --dev there is but one caller');
    expect(LIMITED).toContainEqual({ actions: ['info'], secrets: ['info-only/*'] });
    expect((await run(target.limitedUrl, 'A=info-only/b', 'B=shared/a')).stderr).toBe(
      'coffer: nothing was started: "info-only/b": no grant allows you to get it\n',
    );
  });
});
