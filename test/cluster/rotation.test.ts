import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type ClientOptions } from '@coffer/client';
import { Admin } from '@coffer/client/admin';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { canary } from '../support/canary.mjs';
import type { CofferInstance } from '../support/instances.mjs';
import { Balancer } from './balancer.js';
import { Deployment } from './deployment.js';
import { dutyOn } from './duty.js';
import { Lateness } from './lateness.js';

/** How many secrets there are; the long form is ROTATE_SECRETS=100000. */
const SECRETS = Number(process.env.ROTATE_SECRETS ?? 600);
const TIMEOUT = 300_000 + 40 * SECRETS;
const READERS = 6;
const WRITERS = 3;
/** Between two requests of one of them: in the short form the machine has other tests to run. */
const REST_MS = process.env.ROTATE_SECRETS ? 0 : 30;
/** What is put in beforehand may wait for a machine that has more to do than it can. */
const FILLERS = 384;
const PATIENT = { retries: 10, timeout: 120_000 };
/** The instance that re-encrypts is killed when no more than this part is left. */
const KILLS = [0.8, 0.5];
/** How long the work may rest when the one that does it was killed: nobody takes a lease that was renewed within the last ten seconds. */
const HANDOVER_MS = 20_000;

let deployment: Deployment;
let balancer: Balancer;
const clients: Client[] = [];
let users: Users | undefined;
beforeEach(async () => {
  // Nothing is cut here: what the servers say to each other needs no way through this process. On a machine that does other things,
  // too, no beat comes for a second now and then; that is no matter of the keys.
  deployment = await Deployment.start({ direct: true, storage: { consistency: 'bounded(3s)' } });
  balancer = await Balancer.start(deployment.instances.map(({ url }) => url));
}, TIMEOUT);
afterEach(async () => {
  // Where the test has failed they go on, and what they are refused would fill the memory.
  await users?.stop();
  users = undefined;
  for (const client of clients.splice(0)) client.close();
  await balancer?.[Symbol.asyncDispose]();
  await deployment?.[Symbol.asyncDispose]();
}, TIMEOUT);

function newClient(server: string, token?: string, options: ClientOptions = {}): Client {
  const client = new Client({ server, token, ...options });
  clients.push(client);
  return client;
}

/** As users do: with the retries that a client makes, wherever the balancer sends them. */
const user = () => newClient(balancer.url, deployment.token);
const admin = ({ server }: CofferInstance) => new Admin(newClient(server.socket));

const nameOf = (index: number) => `static/${index}`;
const contentOf = (name: string) => canary(name);

/** Does `work` for each number below `count`, so many at once. */
async function together(
  workers: number,
  count: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const one = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: workers }, one));
}

/** Users that get what is known and put what is new, until they are stopped; whatever they are refused fails the test. */
class Users {
  reads = 0;
  puts = 0;
  readonly #acknowledged = new Map<string, Map<number, string>>();
  readonly #work: Promise<void>[];
  readonly #failed: string[] = [];
  readonly #since = performance.now();
  #stopped = false;

  constructor() {
    const readers = Array.from({ length: READERS }, () =>
      this.#repeat(user(), (client) => this.#read(client)),
    );
    const writers = Array.from({ length: WRITERS }, (_, index) =>
      this.#repeat(user(), (client) => this.#put(client, `own/${index}/${this.puts % 20}`)),
    );
    this.#work = [...readers, ...writers];
  }

  /** @returns what was refused, and what was wrong */
  async stop(): Promise<string[]> {
    this.#stopped = true;
    await Promise.all(this.#work);
    return this.#failed;
  }

  /** All that was acknowledged is there. */
  async expectKept(client: Client): Promise<void> {
    for (const [name, versions] of this.#acknowledged) {
      for (const [version, value] of versions) {
        const got = await client.get(name, { version });
        expect(Buffer.from(got.value).toString() === value, `${name} ${version}`).toBe(true);
      }
    }
  }

  async #repeat(client: Client, work: (client: Client) => Promise<void>): Promise<void> {
    while (!this.#stopped) {
      const start = performance.now();
      await work(client).catch((error: unknown) => {
        const waited = Math.round(performance.now() - start);
        this.#failed.push(`at ${seconds(this.#since)}, after ${waited} ms: ${error}`);
      });
      if (REST_MS > 0) await sleep(REST_MS);
    }
  }

  async #read(client: Client): Promise<void> {
    const name = nameOf(randomInt(SECRETS));
    const { value } = await client.get(name);
    if (Buffer.from(value).toString() !== contentOf(name)) this.#failed.push(`a wrong value of ${name}`);
    this.reads++;
  }

  async #put(client: Client, name: string): Promise<void> {
    const value = canary(`${name} ${this.puts++}`);
    const version = await client.put(name, value);
    const versions = this.#acknowledged.get(name) ?? new Map<number, string>();
    if (versions.has(version)) this.#failed.push(`version ${version} of ${name} twice`);
    this.#acknowledged.set(name, versions.set(version, value));
  }
}

/** Waits until no more than this part is left at the instance that re-encrypts; answers how many records that is. */
async function untilLeft(part: number, worker: CofferInstance): Promise<number> {
  const asking = new Admin(newClient(worker.server.socket, undefined, PATIENT));
  let left = 0;
  const isThere = async () => {
    const rotation = await asking.keyRotation();
    left = rotation?.remaining ?? 0;
    return !rotation || (rotation.total > 0 && left <= part * rotation.total);
  };
  // On a machine that is busy it may be too far behind to say.
  await expect.poll(() => isThere().catch(String), { timeout: TIMEOUT, interval: 20 }).toBe(true);
  return left;
}

it(`the data key of ${SECRETS} secrets is changed under load, over ${KILLS.length} kills of the instance that does it, and nobody notices`, {
  timeout: TIMEOUT,
}, async () => {
  const duty = await dutyOn(deployment.cluster);
  const began = performance.now();
  const fillers = deployment.instances.map(({ url }) => newClient(url, deployment.token, PATIENT));
  // What waits for the same moment goes into the stream as one.
  await together(FILLERS, SECRETS, async (index) => {
    const name = nameOf(index);
    await (fillers[index % fillers.length] as Client).put(name, contentOf(name));
  });
  const said = [`put in within ${seconds(began)}`];
  users = new Users();
  const lateness = new Lateness(deployment, 1);

  const rotated = performance.now();
  let name = (await duty()) as string;
  const first = deployment.instances.find((instance) => instance.name !== name) as CofferInstance;
  await admin(first).rotateKeys();
  const workers = [name];
  for (const part of KILLS) {
    const worker = deployment.instance(name);
    const left = await untilLeft(part, worker);
    await worker.kill();
    const killed = performance.now();
    await expect.poll(duty, { timeout: HANDOVER_MS, interval: 10 }).not.toBe(name);
    name = (await duty()) as string;
    workers.push(name);
    said.push(`${left} left at a kill, handed over after ${seconds(killed)}`);
    await worker.start();
  }
  const last = deployment.instance(name);
  await untilLeft(0, last);
  said.push(`all re-encrypted after ${seconds(rotated)}`);
  for (const instance of deployment.instances) {
    const left = () => admin(instance).keyRotation();
    await expect.poll(left, { timeout: 60_000, message: instance.name }).toBeUndefined();
  }
  said.push(`the old key gone everywhere after ${seconds(rotated)}`);
  const failed = await users.stop();
  said.push(await lateness.stop());
  if (failed.length > 0) console.info(['late:', ...lateness.late, ...newLeaders()].join('\n'));
  console.info([...said, `${users.reads} gets, ${users.puts} puts`, `by ${workers.join(', ')}`].join('; '));
  expect(failed).toEqual([]);

  for (const instance of deployment.instances) {
    const { dataKeys, rotation } = await admin(instance).keys();
    expect(rotation).toBeUndefined();
    expect(dataKeys).toEqual([
      { id: 2, state: 'active', createdAt: expect.any(Date), records: expect.any(Number) },
    ]);
    const client = newClient(instance.url, deployment.token);
    await users.expectKept(client);
    await together(32, SECRETS, async (index) => {
      const { value } = await client.get(nameOf(index));
      expect(Buffer.from(value).toString() === contentOf(nameOf(index)), nameOf(index)).toBe(true);
    });
  }
  for (const instance of deployment.instances) {
    const verify = () => deployment.admin(instance.name, 'audit', 'verify').catch(String);
    await expect.poll(verify, { timeout: 60_000 }).not.toMatch(/the last \d{3,} of this server|Error/);
  }
  const destroyed = (await deployment.auditLines()).filter(({ action }) => action === 'destroy-data-key');
  expect(destroyed.map(({ phase }) => phase)).toEqual(['intent', 'outcome']);
});

/** Each change of a leader of JetStream's, as the servers told. */
const newLeaders = () =>
  deployment.cluster.servers.flatMap(({ name, process }) =>
    process.output.split('\n').flatMap((line) => (/ leader/.test(line) ? `${name}: ${line}` : [])),
  );

const seconds = (since: number): string => `${((performance.now() - since) / 1_000).toFixed(1)} s`;
