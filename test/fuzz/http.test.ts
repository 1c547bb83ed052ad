import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  completeLimits,
  completeWasmcloud,
  createLog,
  type RunningServer,
  startServer,
} from '@coffer/server';
import fc from 'fast-check';
import { expect, it, onTestFinished } from 'vitest';
import { canary } from '../support/canary.mjs';

/**
 * Whatever is sent: never a 5xx, never a hang, never a crash.
 *
 * FUZZ_RUNS lengthens it (batches of requests, 25 by default); FUZZ_SEED repeats one that failed.
 */
const RUNS = Number(process.env.FUZZ_RUNS ?? 25);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);
/** Requests on connections of their own that are under way together. */
const BATCH = 40;
const HANG_MS = 10_000;

it('a development server answers anything with something below 500, and lives on', async () => {
  console.log(`FUZZ_SEED=${SEED} FUZZ_RUNS=${RUNS}`);
  const server = await start(true);
  await run(server, (statuses, sent) => {
    expect(
      statuses.filter((status) => status >= 500),
      sent.slice(0, 1000),
    ).toEqual([]);
  });
});

it('a production server lets no credentials pass that somebody made up', async () => {
  const server = await start(false);
  await run(server, (statuses, sent) => {
    const refused = (status: number) => (status >= 400 && status < 500) || status === 100;
    // The last answer may be that of the health check which ends every connection.
    if (!/healthz|readyz/.test(sent))
      expect(statuses.slice(0, -1).filter((status) => !refused(status))).toEqual([]);
    expect(
      statuses.filter((status) => status >= 500),
      sent.slice(0, 1000),
    ).toEqual([]);
  });
});

async function run(server: RunningServer, check: (statuses: number[], sent: string) => void): Promise<void> {
  const port = server.address?.port ?? 0;
  const batches = fc.sample(fc.array(connection(), { minLength: BATCH, maxLength: BATCH }), {
    numRuns: RUNS,
    seed: SEED,
  });
  for (const [n, batch] of batches.entries()) {
    await Promise.all(
      batch.map(async (pieces) => {
        const sent = Buffer.concat(pieces).toString('latin1');
        const where = `batch ${n} of FUZZ_SEED=${SEED} FUZZ_RUNS=${RUNS}: ${JSON.stringify(sent.slice(0, 1000))}`;
        const statuses = await statusesOf(port, pieces).catch((error) => {
          throw new Error(`${error.message}, ${where}`);
        });
        check(statuses, sent);
      }),
    );
    expect(await statusesOf(port, [LAST])).toEqual([200]);
  }
}

async function start(dev: boolean): Promise<RunningServer> {
  const folder = await mkdtemp(join(tmpdir(), 'coffer-fuzz-'));
  const server = await startServer(
    {
      listen: '127.0.0.1:0',
      stateDir: join(folder, 'state'),
      rootKey: `file:${join(folder, 'root.key')}`,
      dev,
      insecureHttp: false,
      // A request that never ends, or swallows the next one, is part of the game and must not make it last.
      limits: completeLimits({
        bodyBytes: 100_000,
        headersSeconds: 0.4,
        requestSeconds: 0.4,
        idleSeconds: 0.4,
      }),
      storage: {},
      wasmcloud: completeWasmcloud(),
    },
    { log: createLog('error'), onNotice: () => {} },
  );
  onTestFinished(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return server;
}

/** Ends a connection whose earlier request was whole, so that nobody has to wait for silence. */
const LAST = Buffer.from('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');

/** Sends the pieces, then {@link LAST}, and tells the status of every answer once the server has hung up. */
function statusesOf(port: number, pieces: readonly Buffer[]): Promise<number[]> {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect(port, '127.0.0.1');
    const hang = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the server neither answered nor hung up; it had sent ${JSON.stringify(received)}`));
    }, HANG_MS);
    socket.setNoDelay(true);
    // The server may reset a connection on which somebody still talks.
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
    });
    socket.on('close', () => {
      clearTimeout(hang);
      resolve([...received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status)));
    });
    for (const piece of pieces) socket.write(piece);
    if (pieces[0] !== LAST) socket.write(LAST);
  });
}

/** A request as pieces in which it is written: mostly right, so that it gets far, and wrong somewhere. */
function connection(): fc.Arbitrary<Buffer[]> {
  return fc
    .record({
      method: method(),
      path: path(),
      headers: headers(),
      body: body(),
      framing: framing(),
      cut: fc.nat(400),
      garbage: garbage(),
    })
    .map(({ method, path, headers, body, framing, cut, garbage }) => {
      const [frame, framed] = framing(body);
      const head = `${method} ${path} HTTP/1.1\r\n${[...headers, frame].filter(Boolean).join('\r\n')}\r\n\r\n`;
      const whole = garbage(Buffer.concat([Buffer.from(head, 'latin1'), framed]));
      return [whole.subarray(0, cut), whole.subarray(cut)];
    });
}

const often = <T>(usual: T, rare: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: rare });
const latin1 = () =>
  fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
    maxLength: 30,
  });

function method(): fc.Arbitrary<string> {
  return often(
    'POST',
    fc.oneof(
      fc.constantFrom(
        'GET',
        'HEAD',
        'PUT',
        'DELETE',
        'OPTIONS',
        'TRACE',
        'CONNECT',
        'PATCH',
        'post',
        'M-SEARCH',
      ),
      latin1(),
    ),
  );
}

function path(): fc.Arbitrary<string> {
  const known = [
    'list',
    'info',
    'get',
    'put',
    'create-version',
    'activate',
    'delete-version',
    'delete',
    'whoami',
    'admin/tokens',
    'admin/tokens/revoke',
    'admin/policy',
    'admin/revocations',
    'admin/revocations/lift',
  ];
  const strange = fc.oneof(
    latin1(),
    fc.constantFrom(
      '/',
      '*',
      '//api/get',
      '/api/../api/get',
      '/api/%67et',
      '/api/%',
      'http://localhost/api/get',
      'http://[/',
      '/api/get?x',
      '/api/get#',
      '/readyz',
      '/healthz',
      `/${'a'.repeat(20_000)}`,
    ),
  );
  return fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...known).map((name) => `/api/${name}`) },
    { weight: 1, arbitrary: strange },
  );
}

function headers(): fc.Arbitrary<string[]> {
  const credentials = fc.oneof(
    latin1(),
    fc.constantFrom(
      'Bearer cft_',
      `Bearer cft_${'A'.repeat(43)}`,
      'Basic Og==',
      'Basic',
      `Basic ${'A'.repeat(9000)}`,
    ),
  );
  return fc
    .tuple(
      often(
        'Host: localhost',
        fc.constantFrom(
          'Host: evil.example',
          'Host:',
          'Host: [::1',
          'Host: localhost:99999',
          'Host: a b',
          '',
        ),
      ),
      often(
        'Content-Type: application/json',
        fc.constantFrom('Content-Type: text/plain', 'content-type: application/json\r\nContent-Type: x', ''),
      ),
      often('Sec-X-Tailscale-No-Browsers: setec', fc.constantFrom('Sec-X-Tailscale-No-Browsers: no', '')),
      often(
        '',
        credentials.map((text) => `Authorization: ${text}`),
      ),
      often(
        '',
        latin1().map((text) => `Coffer-Operation: ${text}`),
      ),
      often(
        '',
        fc.constantFrom(
          'Expect: 100-continue',
          'Expect: tea',
          'Upgrade: websocket\r\nConnection: Upgrade',
          'Connection: close',
          'Content-Encoding: gzip',
          `X: ${'x'.repeat(17_000)}`,
        ),
      ),
      often('', latin1()),
    )
    .map((lines) => lines.filter((line) => line !== ''));
}

function body(): fc.Arbitrary<Buffer> {
  const names = fc.oneof(
    fc.constantFrom('a', 'b', '', '_internal/x', '*', '../x', '\u0000', 'é😀'),
    fc.string({ unit: 'binary' }),
    fc.constant('x'.repeat(1025)),
  );
  const versions = fc.oneof(fc.constantFrom(0, 1, 2, 2 ** 32 - 1, 2 ** 32, -1, 0.5, 1e300), fc.nat(5));
  const values = fc.oneof(
    fc.constant(Buffer.from(canary('fuzz')).toString('base64')),
    fc.constant(canary('not base64')),
    fc.base64String(),
    fc.string(),
    fc.array(fc.integer({ min: -1, max: 256 })),
    fc.constant('A'.repeat(60_000)),
  );
  const setec = fc.record(
    { Name: names, Version: versions, Value: values, UpdateIfChanged: fc.boolean() },
    { requiredKeys: [] },
  );
  const grants = fc.array(
    fc.record({
      to: fc.array(names),
      actions: fc.array(fc.constantFrom('get', 'admin', 'fly')),
      secrets: fc.array(names),
    }),
  );
  const admin = fc.record(
    {
      name: names,
      id: names,
      expiresIn: versions,
      grants,
      dryRun: fc.boolean(),
      expectedGeneration: versions,
    },
    { requiredKeys: [] },
  );
  const json = fc
    .oneof(
      { weight: 3, arbitrary: setec },
      { weight: 1, arbitrary: admin },
      { weight: 1, arbitrary: fc.jsonValue() },
    )
    .map((value) => JSON.stringify(value));
  const deep = fc.constantFrom('['.repeat(50_000), '{"a":'.repeat(15_000), `{"Name":${'['.repeat(9_999)}`);
  return fc
    .oneof({ weight: 5, arbitrary: json }, { weight: 1, arbitrary: deep }, { weight: 1, arbitrary: latin1() })
    .map((text) => Buffer.from(text));
}

/** How the body's length is told: right, wrong, in chunks, in broken chunks, not at all. */
function framing(): fc.Arbitrary<(body: Buffer) => [header: string, framed: Buffer]> {
  const exact = (body: Buffer): [string, Buffer] => [`Content-Length: ${body.length}`, body];
  const chunked = (body: Buffer): [string, Buffer] => [
    'Transfer-Encoding: chunked',
    chunks(body, '0\r\n\r\n'),
  ];
  const unended = (body: Buffer): [string, Buffer] => ['Transfer-Encoding: chunked', chunks(body, 'x\r\n')];
  const both = (body: Buffer): [string, Buffer] => [
    `Transfer-Encoding: chunked\r\nContent-Length: ${body.length}`,
    chunks(body, '0\r\n\r\n'),
  ];
  const untold = (body: Buffer): [string, Buffer] => ['', body];
  const wrong = fc
    .oneof(fc.integer({ min: -10, max: 100 }), fc.constantFrom(99_999, 100_001, 2 ** 31, 2 ** 64))
    .map((difference) => (body: Buffer): [string, Buffer] => [
      `Content-Length: ${body.length + difference}`,
      body,
    ]);
  return fc.oneof(
    { weight: 8, arbitrary: fc.constant(exact) },
    { weight: 2, arbitrary: fc.constantFrom(chunked, unended, both, untold) },
    { weight: 1, arbitrary: wrong },
  );
}

function chunks(body: Buffer, end: string): Buffer {
  const half = body.length >> 1;
  const parts = [body.subarray(0, half), body.subarray(half)].filter((part) => part.length > 0);
  return Buffer.concat([
    ...parts.flatMap((part) => [Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]),
    Buffer.from(end),
  ]);
}

/** Now and then some bytes are replaced by others. */
function garbage(): fc.Arbitrary<(whole: Buffer) => Buffer> {
  const replace = fc.tuple(fc.nat(500), fc.nat(5), fc.uint8Array({ maxLength: 5 })).map(
    ([at, length, bytes]) =>
      (whole: Buffer) =>
        Buffer.concat([whole.subarray(0, at), bytes, whole.subarray(at + length)]),
  );
  return often((whole: Buffer) => whole, replace);
}
