import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** What came back. Whoever reads `body` wipes it. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** An answer whose body is read as it comes. It is read with one of the two, or given up with `cancel`. */
export interface OpenAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Throws, with the code `unreachable`, if the connection breaks before the body's end. */
  chunks(): AsyncGenerator<Buffer, void>;
  /** All of it, like an answer that was not left open. */
  whole(): Promise<Answer>;
  cancel(): void;
}

interface Reading {
  /** Longest time in milliseconds without a byte, before the connection counts as broken. */
  readonly idle: number | undefined;
  read(): Promise<Buffer>;
  /** What the caller is told in place of an error of node's. */
  explain(error: unknown): Promise<unknown>;
  /** The call is over. */
  end(): void;
}

export function openAnswer(response: IncomingMessage, { idle, read, explain, end }: Reading): OpenAnswer {
  const { statusCode: status = 0, headers } = response;
  const cancel = () => {
    response.destroy();
    end();
  };
  if (idle !== undefined) {
    const silence = Object.assign(new Error('no byte came'), { code: 'ETIMEDOUT' });
    response.setTimeout(idle, () => response.destroy(silence));
  }
  const chunks = async function* () {
    try {
      yield* response as AsyncIterable<Buffer>;
    } catch (error) {
      throw await explain(error);
    } finally {
      cancel();
    }
  };
  const whole = async () => {
    try {
      return { status, headers, body: await read() };
    } catch (error) {
      throw await explain(error);
    } finally {
      cancel();
    }
  };
  return { status, headers, chunks, whole, cancel };
}

/** True if the server does not know the route. An older coffer says so; setec says `invalid method` without a code. */
export function lacksRoute({ status, headers }: { status: number; headers: IncomingHttpHeaders }): boolean {
  const code = headers['coffer-error'];
  return (status === 400 || status === 404) && (code === undefined || code === 'invalid_method');
}
