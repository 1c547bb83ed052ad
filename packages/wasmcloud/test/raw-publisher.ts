import { connect, type Socket } from 'node:net';
import type { NatsServer } from '../../../test/support/nats.mjs';

interface RawMessage {
  /** As they go over the wire; undefined: none. */
  readonly headers?: Uint8Array | undefined;
  readonly payload: Uint8Array;
}

/** Publishes bytes as they are: a client of NATS would refuse to send such headers. */
export class RawPublisher {
  static async to(server: NatsServer): Promise<RawPublisher> {
    const socket = connect(server.port, '127.0.0.1');
    const publisher = new RawPublisher(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.on('data', (data) => {
        const text = data.toString();
        if (text.includes('-ERR')) publisher.errors.push(text);
        if (text.includes('PING')) socket.write('PONG\r\n');
        if (text.includes('PONG')) resolve();
      });
      socket.write(
        'CONNECT {"verbose":false,"pedantic":false,"headers":true,"protocol":1,"lang":"raw","version":"1"}\r\nPING\r\n',
      );
    });
    return publisher;
  }

  readonly errors: string[] = [];

  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  publish(subject: string, reply: string | Uint8Array, { headers, payload }: RawMessage): void {
    const size = payload.length + (headers?.length ?? 0);
    const sizes = headers ? `${headers.length} ${size}` : `${size}`;
    const line = [
      Buffer.from(`${headers ? 'HPUB' : 'PUB'} ${subject} `),
      Buffer.from(reply),
      Buffer.from(` ${sizes}\r\n`),
    ];
    this.#socket.write(Buffer.concat([...line, headers ?? new Uint8Array(0), payload, Buffer.from('\r\n')]));
  }

  close(): void {
    this.#socket.destroy();
  }
}
