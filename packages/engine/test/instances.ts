import { copyFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

import {
  type CofferError,
  Engine,
  type EngineOptions,
  parseRootKey,
  type RootKeySpec,
} from '../src/index.js';
import { type SharedInstance, SharedStore } from './shared-storage.js';
import { engineOptions, temporaryFolder } from './support.js';

/** An engine on a {@link SharedStore}, and its view of it. */
export interface TestInstance {
  readonly name: string;
  readonly engine: Engine;
  readonly storage: SharedInstance;
  readonly notices: string[];
  readonly fatal: CofferError[];
  readonly stateDir: string;
}

/** Engines on one shared store, with one root key; each is closed after the test. */
export class Instances {
  readonly store: SharedStore;
  readonly #folder: string;
  readonly #ownKeys: string[] = [];
  readonly #stateDirs = new Map<string, string>();

  private constructor(store: SharedStore, folder: string) {
    this.store = store;
    this.#folder = folder;
  }

  static async make(): Promise<Instances> {
    return new Instances(new SharedStore(), await temporaryFolder());
  }

  /** Where the root key of all is. */
  get rootKeyFile(): string {
    return join(this.#folder, 'root.key');
  }

  /** A root key file of the instance's own, with the key that the store has now. */
  async ownRootKey(name: string): Promise<RootKeySpec> {
    const path = join(this.#folder, `${name}.key`);
    const [other] = this.#ownKeys;
    if (other !== undefined) await copyFile(other, path);
    this.#ownKeys.push(path);
    return parseRootKey(`file:${path}`);
  }

  /** As a person would. */
  async giveRootKey(from: string, to: string): Promise<void> {
    await copyFile(join(this.#folder, `${from}.key`), join(this.#folder, `${to}.key`));
  }

  /** Ends an instance at this very moment: what it has in its folder then is what it finds when it is opened again. */
  async kill({ name, storage, stateDir }: TestInstance): Promise<void> {
    const left = `${stateDir}-`;
    await cp(stateDir, left, { recursive: true });
    this.#stateDirs.set(name, left);
    await storage.close();
  }

  /** Opens the instance of this name, new or again. */
  async open(name: string, overrides: Partial<EngineOptions> = {}): Promise<TestInstance> {
    const notices: string[] = [];
    const fatal: CofferError[] = [];
    let storage: SharedInstance | undefined;
    const stateDir = this.#stateDirs.get(name) ?? join(this.#folder, name);
    const engine = await Engine.open(
      engineOptions(this.#folder, {
        stateDir,
        rootKey: parseRootKey(`file:${this.rootKeyFile}`),
        onNotice: (sentence) => notices.push(sentence),
        onFatal: (error) => fatal.push(error),
        openStorage: async () => {
          storage = this.store.open(name);
          return storage;
        },
        ...overrides,
      }),
    );
    onTestFinished(() => engine.close());
    return { name, engine, storage: storage as unknown as SharedInstance, notices, fatal, stateDir };
  }

  async openAll<Names extends readonly string[]>(...names: Names) {
    const opened: TestInstance[] = [];
    for (const name of names) opened.push(await this.open(name));
    return opened as { [Index in keyof Names]: TestInstance };
  }
}
