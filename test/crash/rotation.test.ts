import { randomInt } from 'node:crypto';
import { readdirSync } from 'node:fs';
import type { Client } from '@coffer/client';
import { Admin } from '@coffer/client/admin';
import { expect, test } from 'vitest';

import { type Process, TemporaryFolder } from '../support/processes.mjs';
import { clientOf, expectSoundAudit, launch, outcomeOf, urlOf } from './server.js';

/** How many secrets there are; CI's form is short. */
const SECRETS = Number(process.env.ROTATE_SECRETS ?? 2_000);
const READERS = 8;
const WRITERS = 4;
/** The server is killed when no more than this part is left to be re-encrypted. */
const KILLS = [0.7, 0.35];

const VERSIONS = [1, 2];
const textOf = (name: string, version: number) => `value ${version} of ${name}`;

/** A server's life from a start to a kill. */
interface Life {
  readonly client: Promise<Client>;
  /** From the moment of the kill on: only then may a request fail. */
  killed: boolean;
}

/** A server that is killed and started again, and who asks it meanwhile. */
class Trial {
  readonly #folder: TemporaryFolder;
  #server: Process | undefined;
  #life: Life;
  #next: (client: Client) => void = () => undefined;
  stopped = false;

  constructor(folder: TemporaryFolder) {
    this.#folder = folder;
    this.#life = this.#newLife();
  }

  async start(): Promise<Client> {
    this.#server = launch(this.#folder);
    const client = clientOf(await urlOf(this.#server));
    this.#next(client);
    return client;
  }

  async kill(): Promise<void> {
    this.#life.killed = true;
    this.#life = this.#newLife();
    await this.#server?.kill();
  }

  async stop(): Promise<void> {
    expect((await this.#server?.stop())?.code).toBe(0);
  }

  /** Undefined if the server was killed meanwhile, so that nobody knows what became of it. */
  async ask<T>(call: (client: Client) => Promise<T>): Promise<{ value: T } | undefined> {
    const life = this.#life;
    const outcome = await outcomeOf(call(await life.client));
    if ('value' in outcome) return outcome;
    expect([outcome.code, life.killed]).toEqual(['unreachable', true]);
    return undefined;
  }

  #newLife(): Life {
    const client = new Promise<Client>((resolve) => {
      this.#next = resolve;
    });
    return { client, killed: false };
  }
}

/** Does `work` for each item, so many at once. */
async function together<T>(
  workers: number,
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const shared = items[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: workers }, async () => {
      for (let next = shared.next(); !next.done; next = shared.next()) await work(next.value);
    }),
  );
}

/** Holds the active values of all these secrets against what they should be. */
async function expectValues(client: Client, expected: ReadonlyMap<string, [version: number, value: string]>) {
  const names = [...expected.keys()];
  const parts = Array.from({ length: Math.ceil(names.length / 256) }, (_, i) =>
    names.slice(256 * i, 256 * (i + 1)),
  );
  await together(4, parts, async (part) => {
    const answers = await client.getMany(part.map((name) => ({ name })));
    for (const [i, name] of part.entries()) {
      const [version, value] = expected.get(name) as [number, string];
      expect(answers[i]).toMatchObject({ name, version });
      expect(Buffer.from((answers[i] as { value: Uint8Array }).value).toString()).toBe(value);
    }
  });
}

test(`the keys of ${SECRETS} secrets are changed under load, over ${KILLS.length} kills, and nobody notices`, async () => {
  using folder = new TemporaryFolder();
  const trial = new Trial(folder);
  const filler = await trial.start();
  const names = Array.from({ length: SECRETS }, (_, i) => `static/${i}`);
  await together(64, names.values(), async (name) => {
    for (const version of VERSIONS) await filler.put(name, Buffer.from(textOf(name, version)));
    if (name.endsWith('7')) await filler.activate(name, 2);
  });
  const before = await filler.list();

  let reads = 0;
  const readers = Array.from({ length: READERS }, async () => {
    while (!trial.stopped) {
      const name = `static/${randomInt(SECRETS)}`;
      const version = VERSIONS[randomInt(VERSIONS.length)] as number;
      const got = await trial.ask((client) => client.get(name, { version }));
      if (!got) continue;
      expect(Buffer.from(got.value.value).toString()).toBe(textOf(name, version));
      reads++;
    }
  });
  /** What was acknowledged, by name and version; a change that a kill cut off may be there or not. */
  const acknowledged = new Map<string, Map<number, string>>();
  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    for (let i = 0; !trial.stopped; i++) {
      const name = `own/${writer}/${i % 50}`;
      const value = `${writer} ${i}`;
      const put = await trial.ask((client) => client.put(name, Buffer.from(value)));
      if (!put) continue;
      const versions = acknowledged.get(name) ?? new Map<number, string>();
      expect(versions.has(put.value)).toBe(false);
      acknowledged.set(name, versions.set(put.value, value));
    }
  });

  const began = performance.now();
  /** Waits until no more than this part is left; answers how many records that is. */
  const untilLeft = async (part: number): Promise<number> => {
    for (;;) {
      const answer = await trial.ask((client) => new Admin(client).keyRotation());
      if (!answer) continue;
      if (!answer.value) return 0;
      const { total, remaining } = answer.value;
      if (total > 0 && remaining <= part * total) return remaining;
    }
  };
  const rootKeys: string[] = [];
  const newRootKey = async () => {
    const keys = await trial.ask((client) => new Admin(client).rotateKeys({ root: true }));
    if (keys) rootKeys.push(keys.value.rootKey.id as string);
  };
  await trial.ask((client) => new Admin(client).rotateKeys());
  const left: number[] = [];
  for (const part of KILLS) {
    const [atKill] = await Promise.all([untilLeft(part), newRootKey()]);
    left.push(atKill);
    // One more is under way when the server dies.
    const last = newRootKey();
    await new Promise((resolve) => setTimeout(resolve, randomInt(8)));
    await trial.kill();
    await Promise.all([trial.start(), last]);
  }
  await untilLeft(-1);
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  await newRootKey();
  trial.stopped = true;
  await Promise.all([...readers, ...writers]);
  await trial.stop();

  const client = await trial.start();
  const { rootKey, dataKeys, rotation } = await new Admin(client).keys();
  const after = await client.list();
  expect(rotation).toBeUndefined();
  // Heads and values, and the manifest.
  const records = after.reduce((sum, { versions }) => sum + 1 + versions.length, 1);
  expect(dataKeys).toEqual([{ id: 2, state: 'active', createdAt: expect.any(Date), records }]);
  expect(rootKey.id).toBe(rootKeys.at(-1));
  expect(readdirSync(folder.path)).toContain(`root.key.retired-${rootKeys.at(-2)}`);
  expect(after.filter(({ name }) => name.startsWith('static/'))).toEqual(before);
  const active = before.map(({ name, activeVersion }): [string, [number, string]] => [
    name,
    [activeVersion, textOf(name, activeVersion)],
  ]);
  await expectValues(client, new Map(active));
  for (const [name, versions] of acknowledged) {
    for (const [version, value] of versions) {
      expect(Buffer.from((await client.get(name, { version })).value).toString()).toBe(value);
    }
  }
  await expectSoundAudit(client, folder.join('state'));
  await trial.stop();
  const cut = left.map((count) => `${count} records left`).join(' and ');
  console.log(
    `${reads} reads and ${records} records; killed with ${cut}; ${rootKeys.length} new root keys; all in ${seconds} s`,
  );
  expect(left.at(0)).toBeGreaterThan(0);
});
