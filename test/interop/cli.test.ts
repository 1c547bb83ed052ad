import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canary } from '../support/canary.mjs';
import { Process, run, TemporaryFolder } from '../support/processes.mjs';
import { cofferCommand, peer } from '../support/servers.mjs';
import { OVER_TLS, TARGETS, type Target } from './targets.js';

/** A command line that speaks to setec servers. `name` is how it calls itself in what it prints. */
interface Cli {
  readonly name: string;
  command(args: readonly string[]): [command: string, args: string[]];
}

const setecCli: Cli = { name: 'setec', command: (args) => [peer('setec'), [...args]] };
const cofferCli: Cli = { name: 'coffer', command: (args) => cofferCommand(...args) };

/** Each command line against each server: what one may expect is what all of them do. */
const PAIRS = [...TARGETS, OVER_TLS].flatMap((target) =>
  [setecCli, cofferCli].map((cli) => ({
    cli,
    start: target.start,
    title: `${cli.name} against ${target.name}`,
  })),
);

describe.each(PAIRS)('the command line of $title', ({ cli, start }) => {
  let target: Target;
  beforeAll(async () => {
    target = await start();
  });
  afterAll(() => target?.[Symbol.asyncDispose]());

  const env = (url = target.url) => ({ ...target.env, SETEC_SERVER: url });
  const execute = (args: readonly string[], input: string | Uint8Array = '', url = target.url) =>
    run(...cli.command(args), { env: env(url), input });

  /** Expects success and exactly this on standard output. */
  const prints = async (
    args: readonly string[],
    stdout: string | Uint8Array,
    input: string | Uint8Array = '',
  ) => {
    const result = await execute(args, input);
    expect({ ...result, stderr: result.stderr.toString() }, args.join(' ')).toEqual({
      code: 0,
      signal: null,
      stdout: Buffer.from(stdout),
      stderr: expect.anything(),
    });
  };
  /** Expects exit code 1, nothing on standard output, and why on standard error. */
  const fails = async (
    args: readonly string[],
    why: RegExp,
    input: string | Uint8Array = '',
    url = target.url,
  ) => {
    const result = await execute(args, input, url);
    expect({ code: result.code, stdout: result.stdout.toString() }, args.join(' ')).toEqual({
      code: 1,
      stdout: '',
    });
    expect(result.stderr.toString()).toMatch(why);
    return result.stderr.toString();
  };
  /** Deletes as a person does: asks for the token, then gives it. (It changes with the minute: hence the loop.) */
  const confirms = async (args: readonly string[], request: string) => {
    const digest = createHash('sha256').update(request).digest('hex').slice(0, 16);
    const asked = new RegExp(`confirmation required for "${request}", use token "([0-9a-f]+\\.${digest})"`);
    let token = (await fails(args, asked)).match(asked)?.[1] as string;
    for (;;) {
      const result = await execute([...args, token]);
      const next = result.stderr.toString().match(/incorrect confirmation .* use token "(.*)"/)?.[1];
      if (next === undefined) return result;
      token = next;
    }
  };
  const saved = (name: string, version: number) =>
    version === 1
      ? `Secret saved as "${name}", version 1\n`
      : `Secret saved as "${name}", version ${version}\n` +
        `  To activate this version, run '${cli.name} activate "${name}" ${version}'\n`;

  it('prints the heading alone where there is nothing', async () => {
    await prints(['list'], 'NAME ACTIVE VERSIONS\n');
  });

  it('puts from a pipe or a file, and asks what to do with white space', async () => {
    using folder = new TemporaryFolder();
    const file = folder.join('value');
    writeFileSync(file, ' from a file ');
    await prints(['put', 'app/key'], saved('app/key', 1), canary('one'));
    await fails(['put', 'app/key'], /whitespace|white space/, `${canary('two')}\n`);
    await prints(['put', '--trim-space', 'app/key'], saved('app/key', 2), ` ${canary('two')}\n`);
    await prints(['put', '--verbatim', 'app/key'], saved('app/key', 3), 'three\n');
    await prints(['put', '--verbatim', '--trim-space', 'app/key'], saved('app/key', 4), 'four\n');
    await fails(['put', '--from-file', file, 'app/key'], /whitespace|white space/);
    await prints(['put', '--trim-space', '--from-file', file, 'app/key'], saved('app/key', 5));
    await fails(['put', '--from-file', folder.join('none'), 'app/key'], /no such file/);
    await fails(['put', 'app/key'], /empty/);
    await prints(['put', '--empty-ok', 'app/key'], saved('app/key', 6));
    await prints(['put', 'binary'], saved('binary', 1), Buffer.from([0x20, 0xff, 0x00, 0x20]));
    await prints(['put', 'ünï/\u{1F600}'], saved('ünï/\u{1F600}', 1), 'x');
  });

  it('gets the bytes alone', async () => {
    await prints(['get', 'app/key'], canary('one'));
    await prints(['get', '--version', '2', 'app/key'], canary('two'));
    await prints(['get', '--version=3', 'app/key'], 'three\n');
    await prints(['get', '--version', '4', 'app/key'], 'four\n');
    await prints(['get', '--version', '5', 'app/key'], 'from a file');
    await prints(['get', '--version', '6', 'app/key'], '');
    await prints(['get', 'binary'], Buffer.from([0x20, 0xff, 0x00, 0x20]));
    await fails(['get', 'absent'], /not found/);
    await fails(['get', '--version', '99', 'app/key'], /not found/);
  });

  it('activates, and gets only what has changed', async () => {
    await fails(['get', '--if-changed', '--version', '1', 'app/key'], /not changed/);
    await prints(['activate', 'app/key', '2'], '');
    await prints(['get', '--if-changed', '--version', '1', 'app/key'], canary('two'));
    await fails(['activate', 'app/key', '99'], /not found/);
    await fails(['activate', 'absent', '1'], /not found/);
    await fails(['activate', 'app/key', 'two'], /version/);
  });

  it('shows what there is, aligned', async () => {
    await prints(
      ['info', 'app/key'],
      'Name:           app/key\nActive version: 2\nVersions:       1, 2, 3, 4, 5, 6\n',
    );
    await prints(
      ['list'],
      'NAME    ACTIVE VERSIONS\napp/key 2      1,2,3,4,5,6\nbinary  1      1\nünï/\u{1F600}   1      1\n',
    );
    await fails(['info', 'absent'], /not found/);
  });

  it('deletes with a confirmation token', async () => {
    expect(await confirms(['delete-version', 'app/key', '3'], 'delete-version:app/key:3')).toMatchObject({
      code: 0,
    });
    await fails(['get', '--version', '3', 'app/key'], /not found/);
    await fails(
      ['delete-version', 'app/key', '4', 'bad.token'],
      /incorrect confirmation for "delete-version:app\/key:4"/,
    );
    expect(await confirms(['delete-version', 'app/key', '2'], 'delete-version:app/key:2')).toMatchObject({
      code: 1,
    });
    expect(await confirms(['delete', 'app/key'], 'delete-secret:app/key')).toMatchObject({ code: 0 });
    await fails(['get', 'app/key'], /not found/);
    expect(await confirms(['delete', 'app/key'], 'delete-secret:app/key')).toMatchObject({ code: 0 });
  });

  it('takes the server by flag', async () => {
    const result = await run(...cli.command(['-s', target.url, 'get', 'binary']), { env: target.env ?? {} });
    expect(result).toMatchObject({ code: 0, stdout: Buffer.from([0x20, 0xff, 0x00, 0x20]) });
  });

  it('says that access is denied', async ({ skip }) => {
    if (target.limitedUrl === undefined) return skip('with --dev there is but one caller');
    await fails(['get', 'binary'], /access denied|not allowed|may not/, '', target.limitedUrl);
    await fails(['put', 'binary'], /access denied|not allowed|may not/, 'x', target.limitedUrl);
  });

  describe('on a terminal', () => {
    const onTerminal = (args: readonly string[]) => {
      const [command, all] = cli.command(args);
      const line = [command, ...all].map((word) => `'${word}'`).join(' ');
      return new Process('script', ['-qec', line, '/dev/null'], { env: { ...env(), SHELL: '/bin/sh' } });
    };

    it('prompts twice for a value, without echo', async () => {
      await using terminal = onTerminal(['put', 'typed']);
      await terminal.waitFor(/Enter secret: /);
      terminal.write('pass word\r');
      await terminal.waitFor(/Confirm secret: /);
      terminal.write('pass word\r');
      expect(await terminal.exited).toMatchObject({ code: 0 });
      expect(terminal.output).toContain('Secret saved as "typed", version 1');
      await prints(['get', 'typed'], 'pass word');
    });

    it('refuses two values that differ', async () => {
      await using terminal = onTerminal(['put', 'mistyped']);
      await terminal.waitFor(/Enter secret: /);
      terminal.write('one\r');
      await terminal.waitFor(/Confirm secret: /);
      terminal.write('another\r');
      expect(await terminal.exited).toMatchObject({ code: 1 });
      expect(terminal.output).toContain('do not match');
    });

    it('ends a value with a newline', async () => {
      await prints(['put', 'shown'], saved('shown', 1), 'a value');
      await using terminal = onTerminal(['get', 'shown']);
      expect(await terminal.exited).toMatchObject({ code: 0 });
      expect(terminal.output).toBe('a value\r\n');
    });
  });
});
