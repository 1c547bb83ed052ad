import { afterAll, describe, expect, test } from 'vitest';
import { canary } from '../support/canary.mjs';
import type { CofferInstance } from '../support/instances.mjs';
import { Deployment, readiness } from './deployment.js';
import { type Answer, Requests } from './workload/requests.js';

/** What a read may be old. */
const BOUND_MS = 3_000;
/** How long an answer takes that does not wait for NATS, on a machine that has much to do. */
const AT_ONCE_MS = 500;
/** What the servers choose a leader in, at the longest. */
const ELECTION_MS = 30_000;

let deployment: Deployment;
let instances: readonly CofferInstance[];
const requests = new Requests({ timeoutMs: 15_000 });
/** What was acknowledged, by name. */
const kept = new Map<string, string>();
let puts = 0;

afterAll(async () => {
  requests.close();
  await deployment?.[Symbol.asyncDispose]();
});

const base64 = (text: string) => Buffer.from(text).toString('base64');
const ask = ({ url }: CofferInstance, method: string, body: object): Promise<Answer> =>
  requests.ask({ url, token: deployment.token }, { method, body });

/** Of a new secret. @returns `done`, or the code of the refusal */
async function put(at: CofferInstance): Promise<string> {
  const name = `${at.name}/${puts++}`;
  const value = canary(name);
  const { code } = await ask(at, 'put', { Name: name, Value: base64(value) });
  if (code === undefined) kept.set(name, value);
  return code ?? 'done';
}

/** @returns `done` for what was put there, or the code of the refusal */
async function get(at: CofferInstance, name: string): Promise<string> {
  const { code, body } = await ask(at, 'get', { Name: name });
  if (code !== undefined) return code;
  return JSON.parse(body).Value === base64(kept.get(name) ?? '') ? 'done' : 'another value';
}

const each = <T>(work: (instance: CofferInstance) => Promise<T>, at = instances): Promise<T[]> =>
  Promise.all(at.map(work));

const allDone = (at = instances) => at.map(() => 'done');

/** Each instance takes changes, and has what any of them took. */
async function expectServed(at = instances): Promise<void> {
  await expect.poll(() => each(put, at), { timeout: ELECTION_MS }).toEqual(allDone(at));
  await expectKept([...kept.keys()].slice(-at.length), at);
}

const expectKept = (names: readonly string[], at = instances) =>
  Promise.all(names.map((name) => expect.poll(() => each((one) => get(one, name), at)).toEqual(allDone(at))));

const kill = (names: readonly string[]) =>
  Promise.all(names.map((name) => deployment.cluster.server(name).kill()));

describe('five instances on five servers', () => {
  test('that are started at one moment make one store, and all serve', async () => {
    const storage = { consistency: `bounded(${BOUND_MS / 1_000}s)` };
    deployment = await Deployment.start({ servers: 5, instances: 5, direct: true, together: true, storage });
    instances = deployment.instances;
    await expectServed();
    const status = () => deployment.admin('c', 'storage', 'status');
    expect(await status()).toContain('on 5 servers');
    // Who was there before the store had keys says so by its next note.
    const alive = async () => (await status()).match(/ alive$/gm)?.length;
    await expect.poll(alive, { timeout: 20_000 }).toBe(4);
  });

  test('go on without the one that is killed, which finds again what it was told', async () => {
    const [killed, ...others] = instances as [CofferInstance, ...CofferInstance[]];
    const asked = each(put, others);
    await killed.kill();
    expect(await asked).toEqual(allDone(others));
    await expectServed(others);
    await killed.start();
    await expectServed();
  });

  test('lose nothing and refuse nothing for long while two servers are away, one of which led', async () => {
    const leader = await deployment.cluster.leaderOf('KV_coffer');
    const other = deployment.cluster.servers.find((server) => server !== leader);
    await kill([leader?.name ?? '', other?.name ?? '']);
    await expectServed();
    // From then on without a break.
    for (let round = 0; round < 5; round++) expect(await each(put)).toEqual(allDone());
  });

  test('with two of five servers answer what they have while it is young enough, and no change, until the servers are back', async () => {
    const { servers } = deployment.cluster;
    const [name = ''] = kept.keys();
    const reads: { readonly code: string; readonly askedMs: number; readonly answeredMs: number }[] = [];
    const since = () => performance.now() - killed;
    let reading = true;
    await kill(
      servers
        .filter((server) => server.running)
        .map((server) => server.name)
        .slice(0, 1),
    );
    const killed = performance.now();
    const readers = each(async (one) => {
      while (reading) {
        const askedMs = since();
        const code = await get(one, name);
        reads.push({ code, askedMs, answeredMs: since() });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
    // Whether these come true nobody knows yet.
    const first = each(put);
    const statuses = () => each(async (one) => (await readiness(one)).status);
    await expect.poll(statuses).toEqual(instances.map(() => 503));
    const begun = performance.now();
    expect(await each(put)).toEqual(instances.map(() => 'unavailable'));
    expect(performance.now() - begun).toBeLessThan(AT_ONCE_MS);
    const late = () => reads.filter(({ askedMs }) => askedMs > BOUND_MS).map(({ code }) => code);
    await expect.poll(late).toContain('stale');
    reading = false;
    await readers;
    expect(new Set(late())).toEqual(new Set(['stale']));
    const early = reads.filter(({ answeredMs }) => answeredMs < BOUND_MS / 2);
    expect(new Set(early.map(({ code }) => code))).toEqual(new Set(['done']));

    await Promise.all(servers.map((server) => (server.running ? undefined : server.start())));
    await expectServed();
    for (const code of await first) expect(['done', 'unavailable', 'in_doubt']).toContain(code);
    await expectServed();
    await expectKept([...kept.keys()]);
    await expect.poll(statuses).toEqual(instances.map(() => 200));
  });
});
