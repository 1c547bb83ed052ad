import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canary } from '../support/canary.mjs';
import { TARGETS, type Target } from './targets.js';

interface Response {
  readonly status: number;
  readonly type: string | undefined;
  readonly nosniff: boolean;
  readonly body: string;
}

interface Row {
  readonly what: string;
  readonly method?: string;
  readonly path?: string;
  /** Replaces a header; the empty string leaves it out. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
  readonly answers: number;
  readonly text?: string;
  /** Coffer's answer where it differs on purpose: its status, with any text. */
  readonly here?: number;
}

const HEADERS = { 'Content-Type': 'application/json', 'Sec-X-Tailscale-No-Browsers': 'setec' };
const value = (text: string) => Buffer.from(text).toString('base64');
const badRequest = { answers: 400, text: 'bad request\n' };
const accepted = { answers: 200, text: '{"Value":"b25l","Version":1}' };

/** The secret `known` has the one version `one`. */
const ROWS: readonly Row[] = [
  { what: 'a GET', method: 'GET', body: '', answers: 400, text: 'only POST requests allowed\n' },
  { what: 'a PUT', method: 'PUT', body: '{}', answers: 400, text: 'only POST requests allowed\n' },
  {
    what: 'a GET, of another type and from a browser: the method comes first',
    method: 'GET',
    headers: { 'Content-Type': '', 'Sec-X-Tailscale-No-Browsers': '' },
    body: '',
    answers: 400,
    text: 'only POST requests allowed\n',
  },
  {
    what: 'no content type',
    headers: { 'Content-Type': '' },
    body: '{}',
    answers: 400,
    text: 'request body must be json\n',
  },
  {
    what: 'a content type with a parameter',
    headers: { 'Content-Type': 'application/json; charset=utf-8' },
    body: '{}',
    answers: 400,
    text: 'request body must be json\n',
  },
  {
    what: 'no header against browsers',
    headers: { 'Sec-X-Tailscale-No-Browsers': '' },
    body: '{}',
    answers: 403,
    text: 'access denied\n',
  },
  {
    what: 'another value in the header against browsers',
    headers: { 'Sec-X-Tailscale-No-Browsers': 'Setec' },
    body: '{}',
    answers: 403,
    text: 'access denied\n',
  },
  { what: 'a get', body: '{"Name":"known"}', ...accepted },
  { what: 'field names in any case', body: '{"nAmE":"known","VERSION":1}', ...accepted },
  { what: 'an unknown field', body: '{"Name":"known","Other":{"a":[1]}}', ...accepted },
  { what: 'something after the body', body: '{"Name":"known"} {"Name":"other"}', ...accepted },
  { what: 'rubbish after the body', body: '{"Name":"known"}]x', ...accepted },
  { what: 'white space around the body', body: ' \n{"Name":\t"known"}\r\n', ...accepted },
  { what: 'an escaped name', body: '{"Name":"\\u006bnown"}', ...accepted },
  { what: 'a name given twice: the last counts', body: '{"Name":"other","Name":"known"}', ...accepted },
  { what: 'null for a field', body: '{"Name":"known","Version":null}', ...accepted },
  { what: 'version 0 with UpdateIfChanged', body: '{"Name":"known","UpdateIfChanged":true}', ...accepted },
  { what: 'a version written with an exponent', body: '{"Name":"known","Version":1e0}', ...badRequest },
  {
    what: 'an unchanged value',
    body: '{"Name":"known","Version":1,"UpdateIfChanged":true}',
    answers: 304,
    text: '',
  },
  { what: 'null as list', path: 'list', body: 'null', answers: 200 },
  { what: 'an empty body', body: '', ...badRequest },
  { what: 'half a body', body: '{"Name":"kno', ...badRequest },
  { what: 'an array', body: '[]', ...badRequest },
  { what: 'a string', body: '"known"', ...badRequest },
  { what: 'a number as name', body: '{"Name":1}', ...badRequest },
  { what: 'version 1.0', body: '{"Name":"known","Version":1.0}', ...badRequest },
  { what: 'version -1', body: '{"Name":"known","Version":-1}', ...badRequest },
  { what: 'version 2³²', body: '{"Name":"known","Version":4294967296}', ...badRequest },
  { what: 'version 2³²−1', body: '{"Name":"known","Version":4294967295}', answers: 404, text: 'not found\n' },
  { what: 'a version in a string', body: '{"Name":"known","Version":"1"}', ...badRequest },
  { what: 'a flag that is a number', body: '{"Name":"known","UpdateIfChanged":1}', ...badRequest },
  { what: 'a trailing comma', body: '{"Name":"known",}', ...badRequest },
  { what: 'single quotes', body: "{'Name':'known'}", ...badRequest },
  { what: 'an unknown name', body: '{"Name":"unknown"}', answers: 404, text: 'not found\n' },
  { what: 'no name', body: 'null', answers: 404, text: 'not found\n', here: 400 },
  { what: 'an unknown method', path: 'frobnicate', body: '{}', answers: 400, text: 'invalid method\n' },
  {
    what: 'info',
    path: 'info',
    body: '{"Name":"known"}',
    answers: 200,
    text: '{"Name":"known","Versions":[1],"ActiveVersion":1}',
  },
  {
    what: 'a put',
    path: 'put',
    body: `{"Name":"p","Value":"${value(canary('a'))}"}`,
    answers: 200,
    text: '1',
  },
  {
    what: 'a value as numbers',
    path: 'put',
    body: '{"Name":"numbers","Value":[111,110,101]}',
    answers: 200,
    text: '1',
  },
  {
    what: 'a value over lines',
    path: 'put',
    body: '{"Name":"lines","Value":"b2\\r\\n5l\\n"}',
    answers: 200,
    text: '1',
  },
  { what: 'no value', path: 'put', body: '{"Name":"novalue"}', answers: 200, text: '1' },
  {
    what: 'a value of null',
    path: 'put',
    body: '{"Name":"nullvalue","Value":null}',
    answers: 200,
    text: '1',
  },
  { what: 'a value without padding', path: 'put', body: '{"Name":"p","Value":"YQ"}', ...badRequest },
  { what: 'a value in the URL alphabet', path: 'put', body: '{"Name":"p","Value":"_-8="}', ...badRequest },
  { what: 'a value with a space', path: 'put', body: '{"Name":"p","Value":"Y Q=="}', ...badRequest },
  { what: 'a value with a number over 255', path: 'put', body: '{"Name":"p","Value":[256]}', ...badRequest },
  { what: 'a value that is a number', path: 'put', body: '{"Name":"p","Value":1}', ...badRequest },
  {
    what: 'create-version',
    path: 'create-version',
    body: '{"Name":"c","Version":4,"Value":"YQ=="}',
    answers: 200,
    text: '{}',
  },
  {
    what: 'create-version of a number once used',
    path: 'create-version',
    body: '{"Name":"known","Version":1,"Value":"YQ=="}',
    answers: 412,
    text: 'version already set\n',
  },
  {
    what: 'create-version without a number',
    path: 'create-version',
    body: '{"Name":"known"}',
    answers: 400,
    text: 'invalid version, please specify a version > 0\n',
  },
  { what: 'activate', path: 'activate', body: '{"Name":"known","Version":1}', answers: 200, text: '{}' },
  {
    what: 'activate of version 0',
    path: 'activate',
    body: '{"Name":"known"}',
    answers: 500,
    text: 'internal error\n',
    here: 400,
  },
  {
    what: 'delete-version of the active one',
    path: 'delete-version',
    body: '{"Name":"known","Version":1}',
    answers: 500,
    text: 'internal error\n',
    here: 400,
  },
  { what: 'delete of an unknown name', path: 'delete', body: '{"Name":"unknown"}', answers: 200, text: '{}' },
];

describe.each(TARGETS)('the HTTP API of $name', ({ start }) => {
  let target: Target;
  beforeAll(async () => {
    target = await start();
    await send(target.url, { path: 'put', body: `{"Name":"known","Value":"${value('one')}"}` });
  });
  afterAll(() => target?.[Symbol.asyncDispose]());

  it.each(ROWS)('answers $what', async (row) => {
    const differs = target.kind === 'coffer' && row.here !== undefined;
    const response = await send(target.url, row);
    expect(response.status).toBe(differs ? row.here : row.answers);
    if (row.text !== undefined && !differs) expect(response.body).toBe(row.text);
    if (response.status >= 400) {
      expect(response).toMatchObject({ type: 'text/plain; charset=utf-8', nosniff: true });
      expect(response.body).toMatch(/^[^\n]+\n$/);
    } else if (response.status === 200) {
      expect(response.type).toBe('application/json');
    }
  });

  it('asks a caller that it does not know for a token', async ({ skip }) => {
    if (target.limitedUrl === undefined || target.kind === 'setec') return skip('every caller is known here');
    for (const credential of ['', 'x:wrong@', 'x:cft_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@']) {
      const url = target.url.replace(/\/\/.*@/, `//${credential}`);
      expect(await send(url, { body: '{"Name":"known"}' })).toMatchObject({ status: 401 });
    }
  });
});

/** POSTs to /api/get, unless the row says otherwise, as setec's clients do. */
function send(
  serverUrl: string,
  { method = 'POST', path = 'get', headers = {}, body }: Pick<Row, 'method' | 'path' | 'headers' | 'body'>,
): Promise<Response> {
  const { username, password, origin } = new URL(serverUrl);
  const sent = Object.fromEntries(
    Object.entries({ ...HEADERS, ...headers }).filter(([, text]) => text !== ''),
  );
  const auth = password === '' ? {} : { auth: `${username}:${password}` };
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${origin}/api/${path}`,
      { method, headers: sent, ...auth },
      async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk as Buffer);
        resolve({
          status: response.statusCode as number,
          type: response.headers['content-type'],
          nosniff: response.headers['x-content-type-options'] === 'nosniff',
          body: Buffer.concat(chunks).toString(),
        });
      },
    );
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}
