import { SecretBytes, type SecretRequest, type StoreClient, type WatchEvent } from '../../src/index.js';

/**
 * A client in memory, for tests that set the clock themselves, which no connection can follow. `before` runs before every answer: it may
 * wait, or throw what a server would refuse with.
 */
export class LocalClient implements StoreClient {
  readonly values = new Map<string, { readonly value: string; readonly version: number }>();
  readonly asked: (readonly SecretRequest[])[] = [];
  readonly got: string[] = [];
  watches = 0;
  before: () => Promise<void> = async () => {};
  /** What a watch tells; without it there are none. */
  events: (count: number) => AsyncGenerator<WatchEvent, void> = async function* () {};

  constructor(values: Record<string, string>) {
    for (const [name, value] of Object.entries(values)) this.values.set(name, { value, version: 1 });
  }

  rotate(name: string, value: string): void {
    this.values.set(name, { value, version: (this.values.get(name)?.version ?? 0) + 1 });
  }

  get: StoreClient['get'] = async (name) => {
    this.got.push(name);
    await this.before();
    const { value, version } = this.values.get(name) as { value: string; version: number };
    return { value: SecretBytes.copyOf(new TextEncoder().encode(value)), version };
  };

  getIfChanged: StoreClient['getIfChanged'] = (name) => this.get(name);

  getMany: NonNullable<StoreClient['getMany']> = async (requests) => {
    this.asked.push(requests);
    await this.before();
    return Promise.all(requests.map(async ({ name }) => ({ name, ...(await this.get(name)) })));
  };

  info: NonNullable<StoreClient['info']> = async (name) => {
    await this.before();
    const { version } = this.values.get(name) as { version: number };
    return { name, versions: [version], activeVersion: version };
  };

  createVersion: NonNullable<StoreClient['createVersion']> = async (name, version, value) => {
    await this.before();
    this.values.set(name, { value: Buffer.from(value).toString(), version });
  };

  watch: NonNullable<StoreClient['watch']> = () => this.events(++this.watches);
}
