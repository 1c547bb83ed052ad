import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';

/** Where a client asks. */
export interface Target {
  readonly url: string;
  readonly token: string;
}

export interface Answer {
  readonly status: number;
  /** Of an error. */
  readonly code: string | undefined;
  readonly body: string;
  /** How far the instance's replica was. */
  readonly position: string | undefined;
}

export interface Question {
  readonly method: string;
  readonly body: object;
  /** The id of a change. */
  readonly operation?: string;
  /** The instance must be as far. */
  readonly seen?: string | undefined;
}

/** Asks an instance once: nobody repeats anything, so that it is known what became of each request. */
export class Requests {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  readonly #timeoutMs: number;

  constructor({ timeoutMs = 8_000 }: { readonly timeoutMs?: number } = {}) {
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects if there was no whole answer. */
  async ask({ url, token }: Target, { method, body, operation, seen }: Question): Promise<Answer> {
    const content = JSON.stringify(body);
    const headers = {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(content),
      'Sec-X-Tailscale-No-Browsers': 'setec',
      Authorization: `Bearer ${token}`,
      ...(operation !== undefined && { 'Coffer-Operation': operation }),
      ...(seen !== undefined && { 'Coffer-Seen': seen }),
    };
    const signal = AbortSignal.timeout(this.#timeoutMs);
    const options = { method: 'POST', agent: this.#agent, headers, signal };
    return new Promise((resolve, reject) => {
      const asked = request(new URL(`/api/${method}`, url), options, (response) => {
        const { statusCode: status = 0, headers: answered } = response;
        text(response).then(
          (read) =>
            resolve({
              status,
              code: status === 200 ? undefined : (one(answered['coffer-error']) ?? `status ${status}`),
              body: read,
              position: one(answered['coffer-position']),
            }),
          reject,
        );
      });
      asked.on('error', reject);
      asked.end(content);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

const one = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header;
