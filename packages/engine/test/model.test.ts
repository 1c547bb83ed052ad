import fc from 'fast-check';
import { expect, test } from 'vitest';

import type { CofferError, Engine, SecretValue } from '../src/index.js';
import { MAX_VERSION } from '../src/index.js';
import { admin, openEngine, temporaryFolder } from './support.js';

interface Value {
  readonly value: string;
  readonly binary: boolean;
}

/** The spec as simply as it can be said: what each verb does to plain maps. */
class Model {
  readonly secrets = new Map<string, { active: number; used: Set<number>; versions: Map<number, Value> }>();

  list() {
    return [...this.secrets]
      .map(([name, { active, versions }]) => ({
        name,
        versions: [...versions.keys()].sort((a, b) => a - b),
        activeVersion: active,
      }))
      .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  }

  info(name: string) {
    return this.list().find((info) => info.name === name) ?? 'not_found';
  }

  get(name: string, version: number) {
    const secret = this.secrets.get(name);
    const number = version || (secret?.active ?? 0);
    const value = secret?.versions.get(number);
    return value === undefined ? 'not_found' : { ...value, version: number };
  }

  getIfChanged(name: string, known: number) {
    return this.secrets.get(name)?.active === known ? undefined : this.get(name, 0);
  }

  put(name: string, value: Value) {
    const secret = this.secrets.get(name);
    if (!secret) {
      this.secrets.set(name, { active: 1, used: new Set([1]), versions: new Map([[1, value]]) });
      return 1;
    }
    const highest = Math.max(...secret.used);
    const newest = secret.versions.get(highest);
    if (newest?.value === value.value && newest.binary === value.binary) return highest;
    if (highest === MAX_VERSION) return 'versions_exhausted';
    secret.used.add(highest + 1);
    secret.versions.set(highest + 1, value);
    return highest + 1;
  }

  putAndActivate(name: string, value: Value) {
    const version = this.put(name, value);
    if (typeof version === 'number') this.activate(name, version);
    return version;
  }

  createVersion(name: string, version: number, value: string) {
    const secret = this.secrets.get(name) ?? { active: 0, used: new Set(), versions: new Map() };
    if (secret.used.has(version)) return 'version_taken';
    secret.used.add(version);
    secret.versions.set(version, { value, binary: false });
    secret.active = version;
    this.secrets.set(name, secret);
    return undefined;
  }

  activate(name: string, version: number) {
    const secret = this.secrets.get(name);
    if (!secret?.versions.has(version)) return 'not_found';
    secret.active = version;
    return undefined;
  }

  deleteVersion(name: string, version: number) {
    const secret = this.secrets.get(name);
    if (!secret?.versions.has(version)) return 'not_found';
    if (secret.active === version) return 'active_version';
    secret.versions.delete(version);
    return undefined;
  }

  delete(name: string) {
    this.secrets.delete(name);
    return undefined;
  }
}

type Step =
  | { verb: 'list' | 'reopen' }
  | { verb: 'info' | 'delete'; name: string }
  | { verb: 'get' | 'getIfChanged' | 'activate' | 'deleteVersion'; name: string; version: number }
  | { verb: 'put' | 'putAndActivate'; name: string; value: string; binary: boolean }
  | { verb: 'createVersion'; name: string; version: number; value: string };

const name = fc.constantFrom('a', 'a/b', 'ｚ', '😀', 'line\nbreak\u2028', ' ');
const value = fc.constantFrom('', 'one', 'two', 'three', '\0');
const version = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 1, max: 6 }) },
  { weight: 1, arbitrary: fc.constantFrom(MAX_VERSION - 1, MAX_VERSION) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      verb: fc.constantFrom('put', 'put', 'putAndActivate'),
      name,
      value,
      binary: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
    }),
  },
  { weight: 15, arbitrary: fc.record({ verb: fc.constant('createVersion'), name, version, value }) },
  { weight: 15, arbitrary: fc.record({ verb: fc.constant('activate'), name, version }) },
  { weight: 15, arbitrary: fc.record({ verb: fc.constant('deleteVersion'), name, version }) },
  {
    weight: 20,
    arbitrary: fc.record({
      verb: fc.constantFrom('get', 'getIfChanged'),
      name,
      version: fc.oneof(version, fc.constant(0)),
    }),
  },
  { weight: 5, arbitrary: fc.record({ verb: fc.constantFrom('delete', 'info'), name }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('list') }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('reopen') }) },
) as fc.Arbitrary<Step>;

/** What the engine answers, in the model's terms. */
async function ask(engine: Engine, step: Step): Promise<unknown> {
  const plain = (found: SecretValue | undefined) =>
    found && { ...found, value: Buffer.from(found.value).toString() };
  const run = (): Promise<unknown> => {
    switch (step.verb) {
      case 'list':
        return engine.list(admin);
      case 'info':
        return engine.info(admin, step.name);
      case 'get':
        return engine.get(admin, step.name, step.version).then(plain);
      case 'getIfChanged':
        return engine.getIfChanged(admin, step.name, step.version).then(plain);
      case 'put':
        return engine.put(admin, step.name, Buffer.from(step.value), undefined, { binary: step.binary });
      case 'putAndActivate':
        return engine.putAndActivate(admin, step.name, Buffer.from(step.value), undefined, {
          binary: step.binary,
        });
      case 'createVersion':
        return engine.createVersion(admin, step.name, step.version, Buffer.from(step.value));
      case 'activate':
        return engine.activate(admin, step.name, step.version);
      case 'deleteVersion':
        return engine.deleteVersion(admin, step.name, step.version);
      case 'delete':
        return engine.delete(admin, step.name);
      default:
        return Promise.resolve(undefined);
    }
  };
  return run().catch((error: CofferError) => error.code);
}

function expected(model: Model, step: Step): unknown {
  switch (step.verb) {
    case 'list':
      return model.list();
    case 'info':
      return model.info(step.name);
    case 'get':
      return model.get(step.name, step.version);
    case 'getIfChanged':
      return model.getIfChanged(step.name, step.version);
    case 'put':
      return model.put(step.name, { value: step.value, binary: step.binary });
    case 'putAndActivate':
      return model.putAndActivate(step.name, { value: step.value, binary: step.binary });
    case 'createVersion':
      return model.createVersion(step.name, step.version, step.value);
    case 'activate':
      return model.activate(step.name, step.version);
    case 'deleteVersion':
      return model.deleteVersion(step.name, step.version);
    case 'delete':
      return model.delete(step.name);
    default:
      return undefined;
  }
}

/** 25 histories of 400 to 500 steps: at least 10,000 steps a run. */
const HISTORIES = Number(process.env.MODEL_HISTORIES ?? 25);

test('random histories of all verbs answer as the spec does, over reopening too', {
  timeout: 300_000,
}, async () => {
  let steps = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 400, maxLength: 500 }), async (history) => {
      const folder = await temporaryFolder();
      let { engine } = await openEngine(folder);
      const model = new Model();
      for (const one of history) {
        steps++;
        if (one.verb === 'reopen') {
          await engine.close();
          ({ engine } = await openEngine(folder));
        }
        expect(await ask(engine, one)).toEqual(expected(model, one));
      }
      await engine.close();
    }),
    { numRuns: HISTORIES, endOnFailure: true },
  );
  expect(steps).toBeGreaterThanOrEqual(HISTORIES * 400);
});

test('what concurrent changes to one secret answer is what some order of them would', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(value, { minLength: 2, maxLength: 12 }), async (values) => {
      const { engine } = await openEngine();
      const numbers = await Promise.all(values.map((one) => engine.put(admin, 'shared', Buffer.from(one))));
      const { versions } = await engine.info(admin, 'shared');
      expect(versions).toEqual(Array.from({ length: versions.length }, (_, index) => index + 1));
      expect(new Set(numbers)).toEqual(new Set(versions));
      for (const [index, number] of numbers.entries()) {
        const found = await engine.get(admin, 'shared', number);
        expect(Buffer.from(found.value).toString()).toBe(values[index]);
      }
      await engine.close();
    }),
    { numRuns: 20 },
  );
});
