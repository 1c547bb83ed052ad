import type { Server, Socket } from 'node:net';
import { networkOf } from './address.js';

export type Door = 'tcp' | 'socket';

/** How many connections a listening server has and had. */
export interface ConnectionCounts {
  readonly door: Door;
  readonly open: number;
  readonly most: number;
  /** Cut since there were too many of all, or of one address. */
  readonly refused: { readonly all: number; readonly address: number };
}

/** The open connections of one listening server: all of them, and how many there are of each client's address. */
export class Connections {
  readonly #most: number;
  readonly #open = new Set<Socket>();
  readonly #counts = new Map<string, number>();

  /** @param mostPerAddress of IPv6 the first 64 bits are one address; clients of a Unix socket have none */
  constructor(mostPerAddress: number) {
    this.#most = mostPerAddress;
  }

  get count(): number {
    return this.#open.size;
  }

  /** How many were cut since their address had as many as it may. */
  refused = 0;

  /** Keeps the connection until it closes. False: its address has as many as it may, and it is cut. */
  admit(socket: Socket): boolean {
    const address = socket.remoteAddress && networkOf(socket.remoteAddress);
    const count = (address && this.#counts.get(address)) || 0;
    if (address && count >= this.#most) {
      // A reset leaves nothing behind; a flood would else fill the kernel's table of closed connections.
      this.refused++;
      socket.resetAndDestroy();
      return false;
    }
    this.#open.add(socket);
    if (address) this.#counts.set(address, count + 1);
    socket.once('close', () => {
      this.#open.delete(socket);
      if (address) this.#forget(address);
    });
    return true;
  }

  closeAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  #forget(address: string): void {
    const left = (this.#counts.get(address) ?? 1) - 1;
    if (left === 0) this.#counts.delete(address);
    else this.#counts.set(address, left);
  }
}

/** Puts `admit` before what the server does with a connection, which `proceed` starts. */
export function interceptConnections(
  server: Server,
  admit: (socket: Socket, proceed: () => void) => void,
): void {
  const starts = server.listeners('connection') as ((socket: Socket) => void)[];
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    admit(socket, () => {
      for (const start of starts) start.call(server, socket);
    });
  });
}
