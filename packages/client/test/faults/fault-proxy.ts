import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What is wrong with the way to the server. It holds for connections that are there, and for new ones. */
export type Fault =
  /** Every connection breaks, at once. */
  | { readonly kind: 'cut' }
  /** Nothing passes until the fault is over, and then all that was held up. */
  | { readonly kind: 'stall' }
  /** Each piece of an answer comes so many milliseconds late. */
  | { readonly kind: 'delay'; readonly milliseconds: number }
  /** A connection ends, as if all were said, when so many more bytes of the server's have passed on it. */
  | { readonly kind: 'truncate'; readonly after: number }
  /** In the server's bytes one bit is another, once in so many bytes. */
  | { readonly kind: 'garble'; readonly oncePerBytes: number };

/**
 * A way to a server that works, until it is given a fault.
 *
 * Which bits it garbles is told by its seed alone, so that a run can be had again.
 */
export class FaultProxy implements AsyncDisposable {
  /** Where what comes in goes on to; may be changed. */
  target: number;
  /** Connections that were made to it. */
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #random: () => number;
  #fault: Fault | undefined;
  /** On connections up to this one nothing passes any more. */
  #stranded = 0;
  readonly #changes = new EventEmitter().setMaxListeners(0);

  private constructor(target: number, seed: number) {
    this.target = target;
    this.#random = generator(seed);
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** @param url of a server on this machine */
  static async open(url: string, seed = 1): Promise<FaultProxy> {
    const proxy = new FaultProxy(Number(new URL(url).port), seed);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Undefined: nothing is wrong any more. */
  set fault(fault: Fault | undefined) {
    this.#fault = fault;
    if (fault?.kind === 'cut') this.cut();
    this.#changes.emit('fault');
  }

  /** Breaks the connections that are there, once. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** On the connections that are there nothing passes ever again, and nobody is told; new ones work. */
  strand(): void {
    this.#stranded = this.connections;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fault = undefined;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }

  #accept(client: Socket): void {
    const number = ++this.connections;
    if (this.#fault?.kind === 'cut') {
      client.resetAndDestroy();
      return;
    }
    const server = connect(this.target, '127.0.0.1');
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one);
      one.setNoDelay();
      one.on('error', () => other.destroy());
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroySoon();
      });
    }
    void this.#carry(client, server, async (chunk) => {
      await this.#wait(number);
      return chunk;
    });
    let passed = 0;
    let since: Fault | undefined;
    void this.#carry(server, client, async (chunk) => {
      await this.#wait(number);
      const fault = this.#fault;
      if (since !== fault) passed = 0;
      since = fault;
      passed += chunk.length;
      if (fault?.kind === 'truncate' && passed > fault.after) {
        return chunk.subarray(0, Math.max(0, chunk.length - (passed - fault.after)));
      }
      return fault?.kind === 'garble' ? this.#garbled(chunk, fault.oncePerBytes) : chunk;
    });
  }

  /** A piece that comes back shorter is the last one. */
  async #carry(from: Socket, to: Socket, through: (chunk: Buffer) => Promise<Buffer>): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        const left = await through(chunk);
        to.write(left);
        if (left.length < chunk.length) break;
      }
      to.end();
    } catch {
      to.destroy();
    }
  }

  async #wait(connection: number): Promise<void> {
    while (this.#fault?.kind === 'stall' || connection <= this.#stranded) await once(this.#changes, 'fault');
    if (this.#fault?.kind !== 'delay') return;
    const { milliseconds } = this.#fault;
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  #garbled(chunk: Buffer, oncePerBytes: number): Buffer {
    const garbled = Buffer.from(chunk);
    for (let at = 0; at < garbled.length; at++) {
      if (this.#random() * oncePerBytes >= 1) continue;
      garbled[at] = (garbled[at] ?? 0) ^ (1 << Math.floor(this.#random() * 8));
    }
    return garbled;
  }
}

/** Numbers from 0 to below 1, always the same for a seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
