import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it, onTestFinished } from 'vitest';
import type { CofferError } from '../../packages/engine/src/errors.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import type { CofferInstance } from '../support/instances.mjs';
import type { Direction } from '../support/links.mjs';
import { Deployment } from './deployment.js';
import { openStorage, removeFolders } from './jetstream-support.js';
import { type Answer, Requests } from './workload/requests.js';

/** As many named operations as a head remembers of one caller. */
const REMEMBERED = 16;

let deployment: Deployment | undefined;
const requests = new Requests({ timeoutMs: 20_000 });
afterEach(async () => {
  requests.close();
  await deployment?.[Symbol.asyncDispose]();
});

interface Line {
  readonly seq: number;
  readonly operation?: string;
  readonly phase?: 'intent' | 'outcome';
  readonly intent?: number;
  readonly error?: string;
  readonly recovered?: true;
}

async function ownLog({ folder }: CofferInstance): Promise<Line[]> {
  const text = await readFile(join(folder.path, 'state', 'audit', 'audit.log'), 'utf8');
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line));
}

it('a commit of which nothing is heard for too long is in doubt, whether it came true or not, and nothing else is said of it', async () => {
  await using cluster = await NatsCluster.start({ size: 1 });
  const begin = async (direction: Direction) => {
    const gate = await cluster.gate(direction);
    const storage = await openStorage(cluster, { urls: gate.urls });
    onTestFinished(() => storage.close());
    const at = Buffer.from(direction);
    const set = (text: string, expectedRevision: number) =>
      storage.commit({ head: { key: at, bytes: Buffer.from(text) }, expectedRevision });
    const codeOf = (asked: Promise<number>) =>
      asked.then(
        () => 'done',
        ({ code }: CofferError) => code,
      );
    const revision = await set('before', 0);
    gate.cut(undefined, direction);
    const told = await codeOf(set('after', revision));
    // What was on its way there is lost.
    gate.break();
    gate.mend();
    await expect.poll(() => storage.shared.health.problem).toBeUndefined();
    const text = () => Buffer.from(storage.get(at)?.bytes ?? []).toString();
    return [told, storage.shared.health.inDoubt, text(), await codeOf(set('again', revision))];
  };
  onTestFinished(removeFolders);
  expect(await Promise.all([begin('there'), begin('back')])).toEqual([
    ['in_doubt', 1, 'before', 'done'],
    ['in_doubt', 1, 'after', 'conflict'],
  ]);
});

it('of changes that an instance made when it was killed is known after its start which came true, and each is made once', async () => {
  // Nothing comes back for a while, and what is here is to be young enough all the same.
  deployment = await Deployment.start({ instances: 2, servers: 1, storage: { consistency: 'bounded(30s)' } });
  const { token } = deployment;
  const [a, b] = deployment.instances as [CofferInstance, CofferInstance];
  const ask = ({ url }: CofferInstance, method: string, body: object, operation?: string): Promise<Answer> =>
    requests.ask({ url, token }, { method, body, ...(operation !== undefined && { operation }) });
  const put = (at: CofferInstance, name: string, operation: string) =>
    ask(at, 'put', { Name: name, Value: Buffer.from(canary(operation)).toString('base64') }, operation);
  const versions = async (at: CofferInstance, name: string): Promise<number[] | undefined> => {
    const { code, body } = await ask(at, 'info', { Name: name });
    return code === undefined ? JSON.parse(body).Versions : undefined;
  };
  expect((await put(a, 'much', 'first')).code).toBeUndefined();
  await expect.poll(() => versions(b, 'much')).toEqual([1]);

  // The first comes true, and its answer does not come; the others do not get there.
  a.gate?.cut(undefined, 'back');
  const lost = [put(a, 'made', 'op-made').catch(() => undefined)];
  await expect.poll(() => versions(b, 'made')).toEqual([1]);
  a.gate?.cut();
  lost.push(...['unmade', 'much'].map((name) => put(a, name, `op-${name}`).catch(() => undefined)));
  const intents = async () =>
    (await ownLog(a)).filter(({ phase, operation }) => phase === 'intent' && operation?.startsWith('op-'));
  await expect.poll(async () => (await intents()).length).toBe(3);
  await a.kill();
  expect(await Promise.all(lost)).toEqual([undefined, undefined, undefined]);
  a.gate?.break();
  a.gate?.mend();
  // So many that nobody can tell whether there was another before them.
  for (let i = 0; i < REMEMBERED; i++) expect((await put(b, 'much', `since-${i}`)).code).toBeUndefined();

  await a.start();
  const outcomes = async () => {
    const log = await ownLog(a);
    return (await intents()).map(({ seq, operation }) => {
      const outcome = log.find(({ intent }) => intent === seq);
      return [operation, outcome ? [outcome.recovered, outcome.error] : undefined];
    });
  };
  await expect.poll(outcomes).toEqual([
    ['op-made', [true, undefined]],
    ['op-unmade', [true, 'not_made']],
    ['op-much', [true, 'in_doubt']],
  ]);

  // Sent again, as the client library does.
  for (const at of [a, b, a]) {
    const answers = await Promise.all(['made', 'unmade'].map((name) => put(at, name, `op-${name}`)));
    expect(answers.map(({ body }) => body)).toEqual(['1', '1']);
  }
  for (const at of [a, b]) {
    for (const name of ['made', 'unmade']) await expect.poll(() => versions(at, name)).toEqual([1]);
    expect(await versions(at, 'much')).toHaveLength(1 + REMEMBERED);
  }
  expect(await deployment.admin('a', 'audit', 'verify', '--own')).not.toMatch(/open intent/i);
});
