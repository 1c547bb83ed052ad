import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { PATHS } from '../src/http/app.js';
import type { RunningServer } from '../src/index.js';
import { OPERATIONS } from '../src/openapi/operations.js';
import { readVersion } from '../src/version.js';
import { SETEC_HEADERS, send, startTestServer } from './support.js';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH'];

/** test/interop/openapi.test.ts holds the server's answers against the document. */
describe('GET /openapi.json', () => {
  test('describes every route that the server has, and no other', async () => {
    const server = await startTestServer();
    const served: string[] = [];
    for (const path of PATHS) {
      for (const method of METHODS)
        if (await isServed(server, method, path)) served.push(`${method} ${path}`);
    }
    const described = Object.keys(OPERATIONS);
    const advice = 'add it to the file of its kind in packages/server/src/openapi/, see operations.ts there';
    expect(
      served.filter((route) => !described.includes(route)).map((route) => `${route}: ${advice}`),
    ).toEqual([]);
    expect(described.filter((route) => !served.includes(route))).toEqual([]);
  });

  test('is open to all, and says which version and limits the server has', async () => {
    const limits = { nameBytes: 77 };
    const server = await startTestServer({ dev: false, publicUrl: 'https://coffer.example', limits });
    const { status, headers, body } = await send(server, '/openapi.json');
    expect({ status, type: headers['content-type'] }).toEqual({ status: 200, type: 'application/json' });
    expect(JSON.parse(body)).toMatchObject({
      openapi: '3.1.1',
      info: { title: 'coffer', version: readVersion() },
      servers: [{ url: 'https://coffer.example' }],
      components: { schemas: { SecretName: { maxLength: 77 } } },
    });
  });

  test('asks for a token, or for nothing where a development server needs none', async () => {
    const security = async (dev: boolean) => {
      const document = await documentOf(await startTestServer({ dev }));
      const asked = (path: string, method: string) => at(document, 'paths', path, method, 'security');
      return [asked('/api/get', 'post'), asked('/healthz', 'get')];
    };
    expect(await security(false)).toEqual([[{ token: [] }, { password: [] }, { proof: [] }], []]);
    expect(await security(true)).toEqual([[], []]);
  });

  test('refers to nothing that it does not hold, and names every operation once', async () => {
    const document = await documentOf(await startTestServer());
    const references = JSON.stringify(document).match(/"#\/components\/[^"]+"/g) ?? [];
    expect(references.length).toBeGreaterThan(10);
    for (const reference of new Set(references.map((quoted) => String(JSON.parse(quoted))))) {
      expect(at(document, ...reference.slice(2).split('/')), reference).toBeDefined();
    }
    const ids = Object.values(OPERATIONS).map(({ id }) => id);
    expect(ids).toHaveLength(new Set(ids).size);
  });

  test('says what setec’s JSON lets pass: any case, null, bytes as numbers, more fields', async () => {
    const document = await documentOf(await startTestServer());
    const body = (path: string) =>
      at(document, 'paths', path, 'post', 'requestBody', 'content', 'application/json', 'schema');
    expect(Object.keys(at(body('/api/get'), 'patternProperties') as object)).toEqual([
      '^[nN][aA][mM][eE]$',
      '^[vV][eE][rR][sSſ][iI][oO][nN]$',
      expect.stringMatching(/^\^\[uU\]/),
    ]);
    expect(at(body('/api/get'), 'properties', 'Version', 'type')).toEqual(['integer', 'null']);
    expect(at(body('/api/get'), 'additionalProperties')).toBeUndefined();
    expect(at(body('/api/list'), 'type')).toEqual(['object', 'null']);
    expect(at(document, 'components', 'schemas', 'Value', 'anyOf')).toMatchObject([
      { type: 'string', contentEncoding: 'base64' },
      { type: 'array' },
      { type: 'null' },
    ]);
  });
});

async function documentOf(server: RunningServer): Promise<unknown> {
  return JSON.parse((await send(server, '/openapi.json')).body);
}

function at(value: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);
}

/** Asks, and looks at the head of the answer alone: some never end. */
function isServed(server: RunningServer, method: string, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { ...server.address, method, path, headers: SETEC_HEADERS, agent: false },
      (answer) => {
        answer.destroy();
        // What is not found is what is asked for there: a path that is no route is none of those that are asked.
        resolve(answer.headers['coffer-error'] !== 'invalid_method');
      },
    );
    asked.on('error', reject);
    asked.end();
  });
}
