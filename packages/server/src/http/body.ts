import type { IncomingMessage, ServerResponse } from 'node:http';
import { Refusal } from '../refusal.js';

export interface BodyLimits {
  /** Largest request body. */
  readonly bodyBytes: number;
  /** Largest sum of the request bodies that are held at one time. */
  readonly inFlightBytes: number;
}

/** Reads request bodies into memory, one by one and all together within limits. One serves all doors of a process. */
export class BodyReader {
  readonly #limits: BodyLimits;
  #held = 0;

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /**
   * Gives the request's body to `use`, and wipes it afterwards: it may carry a secret. A body too large is refused as
   * soon as its declared length or what has arrived says so.
   *
   * @throws Refusal `too_large`; `busy`; `bad_request` when the caller goes away.
   */
  async withBody<T>(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    use: (body: Buffer) => Promise<T>,
  ): Promise<T> {
    const declared = declaredLength(incoming);
    if (declared !== undefined && declared > this.#limits.bodyBytes) throw this.#tooLarge();
    if (incoming.headers.expect !== undefined) outgoing.writeContinue();
    const chunks: Buffer[] = [];
    try {
      const body = await this.#collect(incoming, declared, chunks);
      return await use(body);
    } finally {
      for (const chunk of chunks) {
        this.#held -= chunk.length;
        chunk.fill(0);
      }
    }
  }

  /** The whole body; `chunks` keeps what is held for it, to be given back whatever happens. */
  #collect(incoming: IncomingMessage, declared: number | undefined, chunks: Buffer[]): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let length = 0;
      let settled = false;
      const refuse = (refusal: Refusal) => {
        settled = true;
        reject(refusal);
      };
      const finish = () => {
        if (settled) return;
        settled = true;
        resolve(this.#join(chunks));
      };
      incoming.on('data', (chunk: Buffer) => {
        if (settled) return;
        length += chunk.length;
        if (length > this.#limits.bodyBytes) return refuse(this.#tooLarge());
        if (this.#held + chunk.length > this.#limits.inFlightBytes) return refuse(busy());
        this.#held += chunk.length;
        chunks.push(chunk);
        // The end is announced a turn of the event loop later, and a body of known length need not wait for it.
        if (length === declared) finish();
      });
      if (!declared) incoming.on('end', finish);
      incoming.on('close', () => {
        if (!settled) refuse(gone());
      });
      if (incoming.destroyed) refuse(gone());
    });
  }

  /** One buffer, which is what is held from here on: the parts are wiped. */
  #join(chunks: Buffer[]): Buffer {
    if (chunks.length === 1) return chunks[0] as Buffer;
    const body = Buffer.concat(chunks);
    for (const chunk of chunks) {
      this.#held -= chunk.length;
      chunk.fill(0);
    }
    chunks.length = 0;
    chunks.push(body);
    this.#held += body.length;
    return body;
  }

  #tooLarge(): Refusal {
    return new Refusal('too_large', `the request body is larger than ${this.#limits.bodyBytes} bytes`);
  }
}

/** Undefined for a chunked body. Node has checked that it is a number. */
export function declaredLength(incoming: IncomingMessage): number | undefined {
  const declared = incoming.headers['content-length'];
  if (declared !== undefined) return Number(declared);
  return incoming.headers['transfer-encoding'] === undefined ? 0 : undefined;
}

function busy(): Refusal {
  return new Refusal('busy', 'the server holds as many request bodies as it can: try again in a second');
}

function gone(): Refusal {
  return new Refusal('bad_request', 'the request ended before its body did');
}
