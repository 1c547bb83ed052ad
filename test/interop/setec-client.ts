import { Process } from '../support/processes.mjs';
import { peer } from '../support/servers.mjs';

export interface Arguments {
  readonly version?: number;
  readonly value?: string | Uint8Array;
  readonly names?: readonly string[];
  readonly file?: string;
  readonly cache?: string;
}

/** What the Go client answered. Absent fields are what the call does not have; values are base64. */
export interface Answer {
  readonly secrets?: readonly Info[];
  readonly info?: Info;
  readonly value?: { readonly Value: string; readonly Version: number };
  readonly version?: number;
  readonly bytes?: string;
  /** The name of one of setec's errors, such as `ErrNotFound`, or the text of any other. */
  readonly error?: string;
}

export interface Info {
  readonly Name: string;
  readonly Versions: readonly number[];
  readonly ActiveVersion: number;
}

/** A running program that makes one call of setec's Go client library at a time against one server. */
export class SetecClient implements AsyncDisposable {
  readonly #process: Process;
  #answers = 0;

  constructor(serverUrl: string, env: Readonly<Record<string, string>> = {}) {
    this.#process = new Process(peer('setec-client'), [], { env: { ...env, SETEC_SERVER: serverUrl } });
  }

  /** Makes one call; `call` is as test/peers/setec-client names it. */
  async call(
    call: string,
    name = '',
    { version = 0, value = '', names = [], file = '', cache = '' }: Arguments = {},
  ): Promise<Answer> {
    const request = {
      Call: call,
      Name: name,
      Names: names,
      Version: version,
      Value: base64(value),
      File: file,
      Cache: cache,
    };
    this.#process.write(`${JSON.stringify(request)}\n`);
    const [line] = await this.#process.waitFor(new RegExp(`^{"answer":${++this.#answers}[,}].*\\n`, 'm'));
    const { answer: _count, ...answer } = JSON.parse(line) as Answer & { answer: number };
    return answer;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#process[Symbol.asyncDispose]();
  }
}

export const base64 = (bytes: string | Uint8Array): string => Buffer.from(bytes).toString('base64');
