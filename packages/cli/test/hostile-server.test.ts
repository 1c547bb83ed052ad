import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { coffer } from './run.js';

/** The title of a window (OSC), a cleared screen (ESC), the same by a C1 control, and text that reads backwards. */
const EVIL = '\u001b]0;owned\u0007\u001b[2J\u009b2J\u202eevil';
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not come out.
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

const ID = '5'.repeat(32);
const KEY = `N${'A'.repeat(55)}`;
const TIME = '2026-01-01T00:00:00Z';
const TOKEN = { id: '0123456789abcdef', name: EVIL, createdAt: TIME, createdBy: EVIL };
const WHOAMI = {
  principals: [{ id: `token:${EVIL}`, kind: 'token', name: EVIL }],
  grants: [{ to: [EVIL], actions: [EVIL], secrets: [EVIL] }],
  server: { version: '1', storeId: ID, serverKey: KEY, development: false },
};
const KEYS = {
  rootKey: { kind: 'file', id: 'a' },
  dataKeys: [{ id: 1, createdAt: TIME, state: EVIL, records: 1 }],
  rotation: { total: 2, remaining: 1, problem: { code: 'io', message: EVIL } },
};
const HEAD = { seq: 1, hash: 'ab'.repeat(32) };
const LINE = `{"seq":1,"time":"${EVIL}","principal":{"id":"${EVIL}"},"action":"${EVIL}","target":"${EVIL}"}\n`;

function backup(facts: object): Buffer {
  const preamble = Buffer.from(JSON.stringify(facts));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(preamble.length);
  const body = Buffer.concat([Buffer.from('coffer-backup-v1\n'), length, preamble, Buffer.alloc(48)]);
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

let server: Server;
/** What each path answers. */
let answers: Record<string, unknown> = {};
const folder = mkdtempSync(join(tmpdir(), 'coffer-hostile-'));

beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    const answer = answers[(request.url ?? '').replace(/\?.*/, '')];
    response.statusCode = answer === undefined ? 500 : 200;
    response.setHeader('Content-Type', 'application/json');
    response.end(
      typeof answer === 'string' || Buffer.isBuffer(answer)
        ? answer
        : JSON.stringify(answer ?? { code: EVIL, message: EVIL }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

const run = async (command: string, answered: Record<string, unknown>) => {
  answers = answered;
  const { port } = server.address() as AddressInfo;
  const env = { COFFER_SERVER: `http://127.0.0.1:${port}`, COFFER_TOKEN: 'x' };
  const { code, stdout, stderr } = await coffer(command.split(' '), { env });
  return { code, output: stdout + stderr };
};
/** Fields at any depth, by a path with dots. */
const changed = (value: unknown, path: string, to: unknown): unknown => {
  const copy = structuredClone(value) as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop() as string;
  let at = copy;
  for (const key of keys) at = at[key] as Record<string, unknown>;
  at[last] = to;
  return copy;
};

describe('a server that means harm to a terminal', () => {
  test.each([
    ['whoami', 0, { '/api/whoami': WHOAMI }],
    ['whoami --json', 0, { '/api/whoami': WHOAMI }],
    ['token list', 0, { '/api/admin/tokens': { tokens: [TOKEN] } }],
    ['token list --json', 0, { '/api/admin/tokens': { tokens: [TOKEN] } }],
    ['keys list', 0, { '/api/admin/keys': KEYS }],
    ['policy show', 0, { '/api/admin/policy': { generation: 1, grants: WHOAMI.grants } }],
    ['list', 0, { '/api/list': [{ Name: EVIL, Versions: [1], ActiveVersion: 1 }] }],
    ['audit tail', 0, { '/api/admin/audit': LINE }],
    ['audit tail --json', 0, { '/api/admin/audit': LINE }],
    [
      'audit verify',
      1,
      {
        '/api/admin/audit': LINE,
        '/api/admin/audit/head': { head: HEAD, anchor: HEAD, first: 1, storeId: ID, serverKey: KEY },
      },
    ],
    ['list', 1, {}],
    ['keys list', 1, {}],
  ])('cannot steer it by "%s"', async (command, code, answered) => {
    const ran = await run(command, answered);
    expect(ran.code).toBe(code);
    expect(ran.output).not.toBe('');
    expect(ran.output).not.toMatch(OBEYED);
  });

  const whoami = '/api/whoami';
  test.each([
    ['whoami', whoami, changed(WHOAMI, 'server.version', `1${EVIL}`), 'server.version'],
    ['whoami', whoami, changed(WHOAMI, 'server.storeId', 's'), 'server.storeId'],
    ['whoami', whoami, changed(WHOAMI, 'server.serverKey', 'N'), 'server.serverKey'],
    ['token list', '/api/admin/tokens', { tokens: [{ ...TOKEN, id: EVIL }] }, 'tokens[0].id'],
    ['token create a', '/api/admin/tokens', { ...TOKEN, token: `x${EVIL}` }, 'the body.token'],
    ['keys list', '/api/admin/keys', changed(KEYS, 'rootKey.kind', EVIL), 'rootKey.kind'],
    ['keys list', '/api/admin/keys', changed(KEYS, 'rootKey.id', EVIL), 'rootKey.id'],
    [
      'audit verify',
      '/api/admin/audit/head',
      { head: { seq: 1, hash: EVIL }, anchor: HEAD, first: 1, storeId: ID, serverKey: KEY },
      'head.hash',
    ],
    [
      `backup create ${join(folder, 'a')}`,
      '/api/admin/backup',
      backup({ backupId: `a${EVIL}`, storeId: ID, madeAt: TIME }),
      'backupId',
    ],
    [
      `backup create ${join(folder, 'b')}`,
      '/api/admin/backup',
      backup({ backupId: ID, storeId: EVIL, madeAt: TIME }),
      'storeId',
    ],
  ])(
    'is told so where "%s" gets something else than it asked for (%#)',
    async (command, path, answer, field) => {
      const { code, output } = await run(command, { [path]: answer });
      expect(code).toBe(1);
      expect(output).toContain("the server's answer is malformed: ");
      expect(output).toContain(`${field} is not `);
      expect(output).not.toMatch(OBEYED);
    },
  );
});
