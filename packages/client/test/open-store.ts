import { startTestServer } from '@coffer/testing';
import { onTestFinished } from 'vitest';
import {
  type CallOptions,
  Client,
  type CofferClientError,
  type Secret,
  type SecretSource,
  StaticSecret,
  type StoreEvents,
} from '../src/index.js';

/** Until there is the Store: what derived values need of it. */
class SourceStandIn implements SecretSource {
  readonly #client: Client;
  readonly #held = new Map<string, { now: StaticSecret; version: number }>();
  readonly #listeners = new Set<[string, (event: never) => unknown]>();
  constructor(client: Client) {
    this.#client = client;
  }
  async lookup(name: string, options?: CallOptions): Promise<Secret> {
    const { value, version } = await this.#client.get(name, options);
    const held = this.#held.get(name) ?? { now: new StaticSecret(value), version };
    this.#held.set(name, held);
    return {
      name,
      get version() {
        return held.version;
      },
      get: () => held.now.get(),
      reveal: () => held.now.reveal(),
    };
  }
  on<K extends keyof StoreEvents>(event: K, listener: (event: StoreEvents[K]) => unknown): () => void {
    const entry: [string, (event: never) => unknown] = [event, listener];
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }
  #emit(event: string, what: unknown): void {
    for (const [name, listener] of this.#listeners) if (name === event) listener(what as never);
  }
  report(error: CofferClientError): void {
    this.#emit('error', error);
  }
  async refresh(): Promise<void> {
    for (const [name, held] of this.#held) {
      const got = await this.#client.getIfChanged(name, held.version);
      if (!got) continue;
      held.now = new StaticSecret(got.value);
      held.version = got.version;
      this.#emit('update', { name, version: got.version });
    }
  }
  async close(): Promise<void> {
    this.#emit('close', undefined);
  }
}

/** A store of a real server that has these secrets. `rotate` changes one, and is done when the store has the new value. */
export async function openStore(secrets: Record<string, string>) {
  const server = await startTestServer({ secrets });
  onTestFinished(() => server.close());
  const client = new Client({ server: server.url, token: server.token });
  onTestFinished(() => client.close());
  const store = new SourceStandIn(client);
  onTestFinished(() => store.close());
  const errors: CofferClientError[] = [];
  store.on('error', (error) => errors.push(error));
  const rotate = async (name: string, value: string) => {
    await server.mustRotate(name, value);
    await store.refresh();
  };
  return { server, store, rotate, errors };
}
