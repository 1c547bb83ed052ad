import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** Passes connections on to a server, and counts what goes through them: requests, and bytes of both directions. */
export class CountingProxy {
  requests = 0;
  bytes = 0;
  #server;

  static async start(url) {
    const { hostname, port } = new URL(url);
    const proxy = new CountingProxy();
    proxy.#server = createServer((client) => proxy.#pass(client, connect(Number(port), hostname)));
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** What goes through while `work` is done. */
  async during(work) {
    const before = { requests: this.requests, bytes: this.bytes };
    await work();
    return { requests: this.requests - before.requests, bytes: this.bytes - before.bytes };
  }

  stop() {
    this.#server.close();
  }

  #pass(client, server) {
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      from.setNoDelay(true);
      from.on('data', (chunk) => {
        this.bytes += chunk.length;
        // The heads of our clients' requests come in one piece.
        if (from === client) this.requests += chunk.toString('latin1').split(' HTTP/1.1\r\n').length - 1;
        to.write(chunk);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  }
}
