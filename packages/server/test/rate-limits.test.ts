import { describe, expect, it } from 'vitest';
import type { RunningServer } from '../src/index.js';
import { TokenBuckets } from '../src/limit/token-buckets.js';
import { call, SETEC_HEADERS, type Sent, send, startTestServer } from './support.js';

async function tokenFor(server: RunningServer, name: string): Promise<string> {
  const { body } = await call(server, 'admin/tokens', { name }, { socket: true });
  return JSON.parse(body).token;
}

/** `whoami`, as whom and from where it is said. */
async function ask(server: RunningServer, token?: string, sent: Sent = {}) {
  const headers = { ...SETEC_HEADERS, ...(token && { Authorization: `Bearer ${token}` }) };
  return await send(server, '/api/whoami', { ...sent, headers });
}

const statuses = async (count: number, one: () => Promise<{ status: number }>) => {
  const seen: number[] = [];
  for (let i = 0; i < count; i++) seen.push((await one()).status);
  return seen;
};

describe('a bucket of tokens', () => {
  it('gives a burst at once, then as many as the time since has brought, and never more than the burst', () => {
    let now = 0;
    const buckets = new TokenBuckets({ perSecond: 2, burst: 3 }, () => now);
    const take = () => buckets.take('a');
    expect([take(), take(), take(), take()]).toEqual([0, 0, 0, 0.5]);
    now += 250;
    expect(take()).toBe(0.25);
    now += 250;
    expect([take(), take()]).toEqual([0, 0.5]);
    now += 3_600_000;
    expect([take(), take(), take(), take()]).toEqual([0, 0, 0, 0.5]);
  });

  it('is each caller’s own', () => {
    const buckets = new TokenBuckets({ perSecond: 1, burst: 1 }, () => 0);
    expect([buckets.take('a'), buckets.take('b'), buckets.take('a')]).toEqual([0, 0, 1]);
  });

  it('is forgotten when too many others were heard of since, and not before', () => {
    const buckets = new TokenBuckets({ perSecond: 1, burst: 1 }, () => 0);
    buckets.take('one');
    for (let i = 0; i < 9_000; i++) buckets.take(`other-${i}`);
    expect(buckets.take('one')).toBe(1);
    for (let i = 0; i < 1_000_000; i++) buckets.take(`stranger-${i}`);
    expect(buckets.size).toBeLessThanOrEqual(20_000);
    expect(buckets.take('one')).toBe(0);
  });
});

describe('a stranger', () => {
  it('is refused with 429 before anything is looked at, while who has a token is served from the same address', async () => {
    const server = await startTestServer({ dev: false, limits: { failuresPerMinute: 5 } });
    const token = await tokenFor(server, 'honest');
    expect(await statuses(5, () => ask(server, 'cft_wrong'))).toEqual([401, 401, 401, 401, 401]);
    const refused = await ask(server, 'cft_wrong');
    expect(refused).toMatchObject({
      status: 429,
      headers: { 'coffer-error': 'rate_limited', 'retry-after': expect.stringMatching(/^\d+$/) },
    });
    expect(JSON.parse(refused.body)).toEqual({
      code: 'rate_limited',
      message: expect.stringMatching(/try again in \d+ s$/),
    });
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(12);
    expect((await ask(server)).status).toBe(429);
    expect((await ask(server, token)).status).toBe(200);
    // In setec's own words, where setec's clients ask.
    const get = await call(server, 'get', { Name: 'a' });
    expect([get.status, get.body]).toEqual([429, expect.stringMatching(/^too many requests .*\n$/)]);
  });

  it('may come from another address, and is let in again after a while', async () => {
    const server = await startTestServer({ dev: false, limits: { failuresPerMinute: 60 } });
    expect(await statuses(60, () => ask(server, 'cft_wrong'))).toEqual(Array(60).fill(401));
    expect((await ask(server, undefined, { from: '127.0.0.2' })).status).toBe(401);
    const refused = await ask(server, 'cft_wrong');
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '1']);
    await expect.poll(async () => (await ask(server, 'cft_wrong')).status, { timeout: 5_000 }).toBe(401);
  });

  it('is stopped after 60 tries a minute unless the configuration says otherwise, 0 for never', async () => {
    const server = await startTestServer({ dev: false });
    expect((await statuses(70, () => ask(server))).filter((status) => status === 429).length).toBeGreaterThan(
      5,
    );
    const patient = await startTestServer({ dev: false, limits: { failuresPerMinute: 0 } });
    expect(new Set(await statuses(70, () => ask(patient)))).toEqual(new Set([401]));
  });

  it('is nobody on the admin socket', async () => {
    const server = await startTestServer({ dev: false, limits: { failuresPerMinute: 1 } });
    expect(await statuses(5, () => ask(server, 'cft_wrong', { socket: true }))).toEqual(Array(5).fill(401));
  });
});

describe('a principal', () => {
  it('may ask as often as its rate says, and takes nothing from another behind the same address', async () => {
    const server = await startTestServer({ dev: false, limits: { principalRequestsPerSecond: 0.1 } });
    const [first, second] = [await tokenFor(server, 'first'), await tokenFor(server, 'second')];
    expect(await statuses(2, () => ask(server, first))).toEqual([200, 429]);
    expect((await ask(server, second)).status).toBe(200);
    expect((await ask(server, first)).headers['retry-after']).toBe('10');
    expect(await statuses(3, () => ask(server, undefined, { socket: true }))).toEqual([200, 200, 200]);
  });

  it('pays for every secret of a get-many, though one is let in whole', async () => {
    const server = await startTestServer({ dev: false, limits: { principalRequestsPerSecond: 10 } });
    const token = await tokenFor(server, 'many');
    const headers = { Authorization: `Bearer ${token}` };
    const secrets = Array.from({ length: 256 }, () => ({ name: 'a' }));
    expect((await call(server, 'get-many', { secrets }, { headers })).status).toBe(200);
    const refused = await ask(server, token);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(20);
  });

  it('has no limit unless one is set', async () => {
    const server = await startTestServer({ dev: false });
    const token = await tokenFor(server, 'quick');
    expect(new Set(await statuses(200, () => ask(server, token)))).toEqual(new Set([200]));
  });
});

describe('an address', () => {
  it('may ask as often as its rate says, whoever asks; others, health checks and the admin socket go on', async () => {
    const server = await startTestServer({ dev: false, limits: { addressRequestsPerSecond: 0.1 } });
    const token = await tokenFor(server, 'any');
    expect(await statuses(2, () => ask(server, token))).toEqual([200, 429]);
    expect((await send(server, '/nowhere')).status).toBe(429);
    expect((await ask(server, token, { from: '127.0.0.2' })).status).toBe(200);
    expect(await statuses(3, () => send(server, '/healthz'))).toEqual([200, 200, 200]);
    expect((await send(server, '/readyz')).status).toBe(200);
    expect(await statuses(3, () => ask(server, undefined, { socket: true }))).toEqual([200, 200, 200]);
  });
});
