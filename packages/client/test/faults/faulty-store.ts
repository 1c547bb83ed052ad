import { startTestServer, type TestServer, type TestServerOptions } from '@coffer/testing';
import { expect, onTestFinished } from 'vitest';
import {
  Client,
  type ClientOptions,
  type CofferClientError,
  Store,
  type StoreOptions,
} from '../../src/index.js';
import { FaultProxy } from './fault-proxy.js';

export const NAMES = ['a', 'b', 'c'] as const;

const textOf = (name: string, version: number) => `${name} ${version}`;

/** A store behind a way that can be made to fail. Its secrets are read all the time, and each value says which it is. */
export interface FaultyStore {
  readonly server: TestServer;
  readonly proxy: FaultProxy;
  readonly store: Store<(typeof NAMES)[number]>;
  /** What the store reported, by code. */
  readonly errors: readonly string[];
  /** Gives each secret a new version, so many times, whether the store hears of it or not. */
  rotate(times?: number): Promise<void>;
  /** Waits until every handle gives the newest value, without any help. */
  current(timeout?: number): Promise<void>;
}

export interface FaultyStoreOptions {
  readonly seed?: number;
  readonly server?: TestServerOptions;
  readonly client?: Omit<ClientOptions, 'server' | 'token'>;
  readonly store?: Partial<Omit<StoreOptions, 'secrets' | 'fields' | 'allowLookup'>>;
  /** Values may be garbled on their way where nothing would show it, so that they are read and not looked at. */
  readonly garbled?: boolean;
}

export async function faultyStore(options: FaultyStoreOptions = {}): Promise<FaultyStore> {
  const secrets = Object.fromEntries(NAMES.map((name) => [name, textOf(name, 1)]));
  const server = await startTestServer({ ...options.server, secrets });
  const proxy = await FaultProxy.open(server.url, options.seed);
  const { protocol } = new URL(server.url);
  const client = new Client({
    server: `${protocol}//127.0.0.1:${proxy.port}`,
    token: server.token,
    timeout: 1_000,
    retries: 0,
    ...options.client,
  });
  const errors: string[] = [];
  const store = await Store.open({
    client,
    secrets: NAMES,
    onError: ({ code }: CofferClientError) => errors.push(code),
    ...options.store,
  });
  const handles = NAMES.map((name) => store.secret(name));
  const wrong: string[] = [];
  const read = () => {
    for (const handle of handles) {
      const value = Buffer.from(handle.get()).toString();
      const expected = textOf(handle.name, handle.version);
      if (!options.garbled && value !== expected) wrong.push(`${value} as ${expected}`);
    }
  };
  const reading = setInterval(read, 2);
  store.on('close', () => clearInterval(reading));
  onTestFinished(async () => {
    await store.close();
    client.close();
    await proxy[Symbol.asyncDispose]();
    await server.close();
    expect(wrong).toEqual([]);
  });
  let newest = 1;
  return {
    server,
    proxy,
    store,
    errors,
    async rotate(times = 1) {
      for (let time = 0; time < times; time++) {
        newest++;
        await Promise.all(NAMES.map((name) => server.mustRotate(name, textOf(name, newest))));
      }
    },
    async current(timeout = 10_000) {
      const versions = () => handles.map(({ version }) => version);
      await expect.poll(versions, { timeout, interval: 10 }).toEqual(NAMES.map(() => newest));
    },
  };
}
