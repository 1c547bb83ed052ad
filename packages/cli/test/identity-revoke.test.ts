import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { coffer, type Outcome, type RunningServer, startServer } from './run.js';

let server: RunningServer;

/** Of the vectors of nkeys: a user's, and a seed. */
const KEY = 'UBIJU67QCU7QNGOHYYADWXYJFA4ECFVVVPARZWBVR47H5HDWD6XY3YZZ';
const SEED = 'SUABRBWYMWY3TKGYAUH4MQAZGMNLZU5TWZJOLGETGFI3AYR2W4SCVR2EIM';

beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

const identity = (...args: string[]): Promise<Outcome> =>
  server.run(['identity', ...args], { env: { COFFER_SERVER: server.socket } });

describe('identity revoke', () => {
  test('takes a token by its jti or a key, and the list shows who, when and why until it is lifted', async () => {
    const made = await identity('revoke', '--jti', 'JTI-1', '--reason', 'in a "log"\u001b[31m');
    expect(made).toMatchObject({ code: 0, stderr: '' });
    expect(made.stdout).toMatch(/^The token with the jti JTI-1 is revoked, since \S+Z \([0-9a-f]{16}\)\n$/);
    const [, id = ''] = /\(([0-9a-f]{16})\)/.exec(made.stdout) ?? [];
    expect((await identity('revoke', '--key', KEY)).stdout).toMatch(`The key ${KEY} is revoked, since `);

    const { stdout } = await identity('revocations', 'list', '--server');
    const [head, ...rows] = stdout.trimEnd().split('\n');
    expect(head).toMatch(/^ID +WHAT +VALUE +REVOKED +BY +REASON$/);
    expect(
      rows.map((row) =>
        row
          .replace(/\S+:\S+Z/, 'TIME')
          .split(/ +/)
          .slice(1)
          .join(' '),
      ),
    ).toEqual(['token JTI-1 TIME socket "in a \\"log\\"\\x1b[31m"', `key ${KEY} TIME socket -`]);
    const listed = await identity('revocations', 'list', '--json', '--server', server.socket);
    expect(JSON.parse(listed.stdout)).toMatchObject([
      { kind: 'token', value: 'JTI-1', revokedBy: 'socket' },
      { kind: 'key', value: KEY, reason: '' },
    ]);

    expect((await identity('revoke', '--lift', id)).stdout).toBe(`The revocation ${id} is lifted\n`);
    expect((await identity('revocations', 'list', '--server')).stdout).not.toContain('JTI-1');
    expect(await identity('revoke', '--lift', id)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^coffer: failed to lift the revocation: [^\n]+\n$/),
    });
  });

  test.each([
    [[], '--jti JTI or --key KEY'],
    [['--jti', 'J', '--key', KEY], '--jti JTI or --key KEY'],
    [['--lift', '0123456789abcdef', '--reason', 'x'], '--reason'],
    [['--key', SEED], 'a seed, which is secret'],
    [['--key', KEY.replace(/.$/, 'A')], 'checksum'],
    [['--jti', 'a b'], 'jti'],
  ])('%j is refused in one line', async (args, sentence) => {
    const outcome = await identity('revoke', ...args);
    expect(outcome).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^coffer: [^\n]+\n$/),
    });
    expect(outcome.stderr).toContain(sentence);
    expect(outcome.stderr).not.toContain(SEED.slice(2));
  });

  test('a seed goes to no server', async () => {
    // Nobody listens there: it would be another sentence.
    const outcome = await coffer(['identity', 'revoke', '--key', SEED, '-s', 'http://127.0.0.1:1']);
    expect(outcome.stderr).toContain('a seed, which is secret');
  });
});
