import fc from 'fast-check';
import { expect, test } from 'vitest';

import type { CofferError, Engine } from '../src/index.js';
import { Instances, type TestInstance } from './instances.js';
import { admin, openEngine } from './support.js';

type Verb = 'put' | 'putAndActivate' | 'createVersion' | 'activate' | 'deleteVersion' | 'delete' | 'get';

interface Step {
  readonly at: number;
  readonly verb: Verb | 'reopen' | 'rotate' | 'policy';
  readonly name: string;
  readonly version: number;
  readonly value: string;
  /** The instance hears of what the others did only while it makes the change. */
  readonly late: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  at: fc.nat(2),
  verb: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom<Verb>('put', 'putAndActivate', 'activate', 'createVersion') },
    { weight: 3, arbitrary: fc.constantFrom<Verb>('deleteVersion', 'delete', 'get') },
    { weight: 1, arbitrary: fc.constantFrom('reopen' as const, 'rotate' as const, 'policy' as const) },
  ),
  name: fc.constantFrom('a', 'b/c', '😀'),
  version: fc.integer({ min: 1, max: 5 }),
  value: fc.constantFrom('one', 'two', 'three'),
  late: fc.boolean(),
});

/** What the engine answers, as JSON. */
async function ask(engine: Engine, { verb, name, version, value }: Step): Promise<unknown> {
  const bytes = Buffer.from(value);
  const run = async (): Promise<unknown> => {
    switch (verb) {
      case 'put':
      case 'putAndActivate':
        return engine[verb](admin, name, bytes);
      case 'createVersion':
        return engine.createVersion(admin, name, version, bytes);
      case 'activate':
      case 'deleteVersion':
        return engine[verb](admin, name, version);
      case 'delete':
        return engine.delete(admin, name);
      case 'get':
        return Buffer.from((await engine.get(admin, name)).value).toString();
      case 'policy': {
        const grants = [{ to: [`token:${version}`], actions: ['get'] as const, secrets: [value] }];
        return engine.applyPolicy(admin, grants);
      }
      case 'rotate':
        await engine.rotateKeys(admin);
        return undefined;
      default:
        return undefined;
    }
  };
  return run().catch((error: CofferError) => error.code);
}

/** All that can be read. */
async function stateOf(engine: Engine): Promise<unknown> {
  const infos = await engine.list(admin);
  const values = infos.map(({ name, versions }) =>
    Promise.all(versions.map(async (version) => Buffer.from((await engine.get(admin, name, version)).value))),
  );
  return {
    infos,
    values: (await Promise.all(values)).flat().map(String),
    policy: await engine.policy(admin),
  };
}

test('three instances that take turns answer as one engine alone does, and come to the same state', {
  timeout: 300_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 40, maxLength: 60 }), async (steps) => {
      const instances = await Instances.make();
      const all: TestInstance[] = await instances.openAll('a', 'b', 'c');
      const { engine: alone } = await openEngine();
      for (const one of steps) {
        const instance = all[one.at] as TestInstance;
        if (one.verb === 'reopen') {
          await instance.engine.close();
          all[one.at] = await instances.open(instance.name);
          continue;
        }
        for (const { storage } of all) await storage.passed();
        expect(await ask(instance.engine, one)).toEqual(await ask(alone, one));
      }
      for (const { storage } of all) await storage.passed();
      const expected = await stateOf(alone);
      for (const { engine } of all) expect(await stateOf(engine)).toEqual(expected);
      for (const { engine } of all) await engine.close();
      // A replica that is made anew has the same.
      expect(await stateOf((await instances.open('d')).engine)).toEqual(expected);
      await alone.close();
    }),
    { numRuns: Number(process.env.MODEL_HISTORIES ?? 8), endOnFailure: true },
  );
});

test('changes that instances make on what they knew a while ago are all made, one after the other', {
  timeout: 300_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 25 }), async (steps) => {
      const instances = await Instances.make();
      const all: TestInstance[] = await instances.openAll('a', 'b', 'c');
      const made: unknown[] = [];
      for (const [index, { at, late, name }] of steps.entries()) {
        const { engine, storage } = all[at] as TestInstance;
        if (late) storage.hold();
        const version = engine.put(admin, name, Buffer.from(`value ${index}`));
        if (late) made.push(version.then((number) => [name, number, index]));
        else
          made.push([
            name,
            await Promise.all([version, storage.release()]).then(([number]) => number),
            index,
          ]);
      }
      for (const { storage } of all) await storage.release();
      const versions = (await Promise.all(made)) as [string, number, number][];
      expect(new Set(versions.map(([name, number]) => `${name} ${number}`)).size).toBe(steps.length);
      for (const { storage } of all) await storage.passed();
      for (const { engine } of all) {
        for (const [name, number, index] of versions) {
          expect(String(Buffer.from((await engine.get(admin, name, number)).value))).toBe(`value ${index}`);
        }
      }
      for (const { engine } of all) await engine.close();
    }),
    { numRuns: Number(process.env.MODEL_HISTORIES ?? 8), endOnFailure: true },
  );
});
