import { FakeTicker, startTestServer, type TestServer } from '@coffer/testing';
import { onTestFinished } from 'vitest';
import {
  Client,
  type CofferClientError,
  type Opened,
  type SecretRequest,
  Store,
  type StoreClient,
  type StoreEvents,
  type StoreOptions,
  type WatchOptions,
} from '../../src/index.js';

/** A server of one test's own, and a client that may do everything there. */
export async function startBed(
  secrets: Record<string, string> = {},
): Promise<{ server: TestServer; client: Client }> {
  const server = await startTestServer({ secrets });
  onTestFinished(() => server.close());
  const client = new Client({ server: server.url, token: server.token });
  onTestFinished(() => client.close());
  return { server, client };
}

export interface OpenedStore<Name extends string, Lookup extends boolean> {
  readonly store: Opened<Name, Lookup>;
  /** Everything that it told, until now. */
  readonly errors: CofferClientError[];
  readonly updates: StoreEvents['update'][];
  readonly ticker: FakeTicker;
}

/** A store that polls when it is told to, closed at the end of the test. */
export async function openStore<const Name extends string = never, const Lookup extends boolean = false>(
  options: StoreOptions<Name, Lookup>,
): Promise<OpenedStore<Name, Lookup>> {
  const errors: CofferClientError[] = [];
  const updates: StoreEvents['update'][] = [];
  const ticker = new FakeTicker();
  const store = await Store.open<Name, Lookup>({
    ticker,
    onError: (error) => errors.push(error),
    ...options,
  });
  onTestFinished(() => store.close());
  store.on('update', (update) => updates.push(update));
  return { store, errors, updates, ticker };
}

/** Passes everything on to a real client, writes down what was asked for, and can hold it back. */
export class Between implements StoreClient {
  readonly watched: WatchOptions[] = [];
  readonly asked: (readonly SecretRequest[])[] = [];
  readonly looked: string[] = [];
  /** What the next calls wait for. */
  beforeWatch: Promise<void> | undefined;
  beforeMany: Promise<void> | undefined;
  afterMany: Promise<void> | undefined;
  afterGet: Promise<void> | undefined;
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  get: StoreClient['get'] = async (name, options) => {
    this.looked.push(name);
    const answer = await this.#client.get(name, options);
    await this.afterGet;
    return answer;
  };

  getIfChanged: StoreClient['getIfChanged'] = (...args) => this.#client.getIfChanged(...args);

  getMany: NonNullable<StoreClient['getMany']> = async (requests, options) => {
    this.asked.push(requests);
    await this.beforeMany;
    const answers = await this.#client.getMany(requests, options);
    await this.afterMany;
    return answers;
  };

  info: NonNullable<StoreClient['info']> = (...args) => this.#client.info(...args);

  async *watch(options: WatchOptions = {}) {
    this.watched.push(options);
    await this.beforeWatch;
    yield* this.#client.watch(options);
  }
}

/** A promise that is settled from outside. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

export const codes = (errors: readonly CofferClientError[]): string[] => errors.map(({ code }) => code);
