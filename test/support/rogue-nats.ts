import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';

/** What a client answered to a nonce: the signature of it, by the key of its creds. */
export interface SignedNonce {
  readonly jwt: string;
  readonly signature: Uint8Array;
}

/**
 * A NATS server that is out for signatures: to every client it sends a nonce of its choice, byte for byte as it stands
 * between the quotes of its INFO, and takes the answer out of the CONNECT. (Source of both: the NATS client protocol.)
 */
export class RogueNatsServer implements AsyncDisposable {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #nonce: Uint8Array = new Uint8Array(0);
  #answered: (answer: SignedNonce | undefined) => void = () => {};

  private constructor(server: Server) {
    this.#server = server;
    this.url = `nats://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => this.#meet(socket));
  }

  static async start(): Promise<RogueNatsServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new RogueNatsServer(server);
  }

  /**
   * Sends the nonce to the client that `connect` makes, and answers with the signature that it gives for it; undefined if it
   * hangs up instead.
   */
  async takeSignature(nonce: Uint8Array, connect: () => Promise<unknown>): Promise<SignedNonce | undefined> {
    this.#nonce = nonce;
    const answer = new Promise<SignedNonce | undefined>((resolve) => (this.#answered = resolve));
    const connecting = connect().catch(() => undefined);
    const [taken] = await Promise.all([answer, connecting]);
    return taken;
  }

  #meet(socket: Socket): void {
    this.#sockets.add(socket);
    let received = '';
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#answered(undefined);
    });
    socket.setEncoding('latin1').on('data', (text: string) => {
      received += text;
      const [, json] = /^CONNECT (.*)\r\n/m.exec(received) ?? [];
      if (json === undefined) return;
      const { sig, jwt } = JSON.parse(json) as { sig?: string; jwt?: string };
      this.#answered({ jwt: jwt ?? '', signature: Buffer.from(sig ?? '', 'base64url') });
      socket.destroy();
    });
    const info = {
      server_id: 'rogue',
      version: '2.12.0',
      proto: 1,
      host: '127.0.0.1',
      port: 4222,
      max_payload: 1024,
    };
    const [before, after] = JSON.stringify({ ...info, headers: true, auth_required: true, nonce: '|' }).split(
      '|',
    );
    socket.write(Buffer.concat([Buffer.from(`INFO ${before}`), this.#nonce, Buffer.from(`${after}\r\n`)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/**
 * Every way to put bytes between the quotes of a JSON string that some reader might take for those bytes, by name. Their
 * quotes and backslashes are escaped, and their control characters except where the name says so.
 */
export function encodingsOf(bytes: Uint8Array): Record<string, Uint8Array> {
  const escaped = (byte: number) => `\\u${byte.toString(16).padStart(4, '0')}`;
  const unit = (base: number) => (byte: number) => `\\u${(base + byte).toString(16)}`;
  const high = (write: (byte: number) => Uint8Array | string) =>
    Buffer.concat(Array.from(bytes, (byte) => encoded(byte >= 0x80 ? write(byte) : low(byte))));
  const low = (byte: number) =>
    byte < 0x20 || byte === 0x22 || byte === 0x5c ? escaped(byte) : String.fromCharCode(byte);
  return {
    'escaped, every byte': Buffer.from(Array.from(bytes, escaped).join('')),
    'escaped in capitals': Buffer.from(
      Array.from(bytes, escaped)
        .join('')
        .replace(/[a-f]/g, (digit) => digit.toUpperCase()),
    ),
    'raw bytes': high((byte) => Uint8Array.of(byte)),
    'raw bytes, control characters too': Buffer.from(bytes),
    'UTF-8 of the Latin-1 characters': high((byte) => String.fromCharCode(byte)),
    'halves of surrogate pairs, as Python keeps bytes': high(unit(0xdc00)),
    'other halves of surrogate pairs': high(unit(0xd800)),
    'whole surrogate pairs': high((byte) => `\\ud83d\\u${(0xdc00 + byte).toString(16)}`),
    'halves of surrogate pairs in bytes (CESU-8)': high((byte) =>
      Uint8Array.of(0xed, 0xb0 | (byte >> 6), 0x80 | (byte & 63)),
    ),
    'overlong UTF-8 of three bytes': high((byte) =>
      Uint8Array.of(0xe0, 0x80 | (byte >> 6), 0x80 | (byte & 63)),
    ),
    'overlong UTF-8 of four bytes': high((byte) =>
      Uint8Array.of(0xf0, 0x80, 0x80 | (byte >> 6), 0x80 | (byte & 63)),
    ),
    'private characters': high(unit(0xf700)),
    'the replacement character': high(() => '\\ufffd'),
    'a backslash and x': high((byte) => `\\x${byte.toString(16)}`),
    'a backslash and octal digits': high((byte) => `\\${byte.toString(8)}`),
    base64: Buffer.from(Buffer.from(bytes).toString('base64')),
    hexadecimal: Buffer.from(Buffer.from(bytes).toString('hex')),
  };
}

const encoded = (part: Uint8Array | string): Uint8Array =>
  typeof part === 'string' ? Buffer.from(part) : part;
