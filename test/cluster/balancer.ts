import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/**
 * What stands before several instances: it gives each connection to the next of them in turn that takes one, and knows nothing of
 * requests. One that breaks is broken for the client too.
 */
export class Balancer implements AsyncDisposable {
  static async start(urls: readonly string[]): Promise<Balancer> {
    const balancer = new Balancer(urls);
    balancer.#server.listen(0, '127.0.0.1');
    await once(balancer.#server, 'listening');
    return balancer;
  }

  readonly #targets: readonly URL[];
  readonly #server = createServer((near) => void this.#accept(near));
  readonly #sockets = new Set<Socket>();
  #next = 0;

  private constructor(urls: readonly string[]) {
    this.#targets = urls.map((url) => new URL(url));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #accept(near: Socket): Promise<void> {
    this.#hold(near);
    const first = this.#next++;
    for (let index = 0; index < this.#targets.length; index++) {
      const { hostname, port } = this.#targets[(first + index) % this.#targets.length] as URL;
      const far = connect(Number(port), hostname);
      this.#hold(far);
      if (
        !(await once(far, 'connect').then(
          () => true,
          () => false,
        ))
      )
        continue;
      near.on('close', () => far.destroy()).pipe(far);
      far.on('close', () => near.destroy()).pipe(near);
      return;
    }
    near.destroy();
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
