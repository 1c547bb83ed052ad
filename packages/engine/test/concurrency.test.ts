import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Engine } from '../src/index.js';
import { auditPath, verifyLog } from './audit-file.js';
import { admin, bytes, openEngine, text } from './support.js';

const NAMES = ['a', 'b', 'c'];

/** One request of a client; `pick` chooses among the versions that the client knows. */
type Step = {
  verb: 'put' | 'get' | 'activate' | 'deleteVersion' | 'list' | 'createVersion';
  name: string;
  pick: number;
};

/** What an acknowledged answer told of each version; `name@version` → value. */
class Known {
  readonly values = new Map<string, string>();

  learn(name: string, version: number, value: string): void {
    const before = this.values.get(`${name}@${version}`);
    if (before !== undefined) expect(value).toBe(before);
    this.values.set(`${name}@${version}`, value);
  }

  versionsOf(name: string): number[] {
    return [...this.values.keys()]
      .filter((key) => key.startsWith(`${name}@`))
      .map((key) => Number(key.slice(2)));
  }
}

async function play(engine: Engine, client: number, steps: Step[], known: Known): Promise<void> {
  for (const [index, { verb, name, pick }] of steps.entries()) {
    const versions = known.versionsOf(name);
    const version = versions[pick % Math.max(1, versions.length)] ?? 1;
    const value = `${name} ${client} ${index}`;
    try {
      if (verb === 'put') known.learn(name, await engine.put(admin, name, bytes(value)), value);
      if (verb === 'createVersion') {
        const number = 1_000 + (pick % 50);
        await engine.createVersion(admin, name, number, bytes(value));
        known.learn(name, number, value);
      }
      if (verb === 'get') {
        const got = await engine.get(admin, name, pick % 3 === 0 ? 0 : version);
        known.learn(name, got.version, text(got.value));
      }
      if (verb === 'activate') await engine.activate(admin, name, version);
      if (verb === 'deleteVersion') await engine.deleteVersion(admin, name, version);
      if (verb === 'list')
        for (const info of await engine.list(admin)) expect(info.versions).toContain(info.activeVersion);
    } catch (error) {
      expect(['not_found', 'active_version', 'version_taken']).toContain((error as { code: string }).code);
    }
  }
}

describe('concurrent clients', () => {
  it('never see a number with two values, nor another state after a restart than before it', async () => {
    const step = fc.record({
      verb: fc.constantFrom<Step['verb'][]>(
        'put',
        'get',
        'get',
        'activate',
        'deleteVersion',
        'list',
        'createVersion',
      ),
      name: fc.constantFrom(...NAMES),
      pick: fc.nat(),
    });
    const clients = fc.array(fc.array(step, { minLength: 10, maxLength: 30 }), {
      minLength: 2,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(clients, async (histories) => {
        const { engine, folder, stateDir } = await openEngine();
        const known = new Known();
        await Promise.all(histories.map((steps, client) => play(engine, client, steps, known)));
        const before = await engine.list(admin);
        const verdict = await verifyLog(auditPath(stateDir), engine);
        expect([verdict.broken, verdict.openIntents]).toEqual([undefined, []]);
        await engine.close();
        const { engine: reopened } = await openEngine(folder);
        expect(await reopened.list(admin)).toEqual(before);
        for (const { name, versions } of before) {
          for (const version of versions) {
            known.learn(name, version, text((await reopened.get(admin, name, version)).value));
          }
        }
        await reopened.close();
      }),
      { numRuns: 15 },
    );
  });

  it('see their own change at once, among the noise of others', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'noise', bytes('v'));
    let working = true;
    const noise = Array.from({ length: 4 }, async () => {
      while (working) await engine.get(admin, 'noise');
    });
    const clients = Array.from({ length: 8 }, async (_, client) => {
      const name = `own ${client}`;
      for (let round = 1; round <= 40; round++) {
        const value = `${client} ${round}`;
        const version = await engine.put(admin, name, bytes(value));
        expect(version).toBe(round);
        expect(text((await engine.get(admin, name, version)).value)).toBe(value);
        await engine.activate(admin, name, version);
        expect((await engine.get(admin, name)).version).toBe(version);
        expect((await engine.info(admin, name)).activeVersion).toBe(version);
        if (round > 1) await engine.deleteVersion(admin, name, version - 1);
      }
    });
    await Promise.all(clients);
    working = false;
    await Promise.all(noise);
  });
});
