import type { ServerConfig } from '@coffer/server';
import { subjectBase } from '@coffer/wasmcloud';
import { welcome } from '../welcome.js';
import { serve } from './serve.js';

export interface ServerOptions {
  readonly dev?: boolean;
  readonly listen?: string;
  readonly stateDir?: string;
  readonly rootKey?: string;
  readonly config?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecureHttp?: boolean;
  readonly publicUrl?: string;
  readonly trustOperator?: readonly string[];
  readonly trustStore?: string;
  readonly acceptRollback?: boolean;
}

/** `coffer server`. */
export async function server(options: ServerOptions): Promise<void> {
  const { loadConfig } = await import('@coffer/server');
  await serve({
    read: () => loadConfig({ flags: options, env: process.env }),
    welcome: (running, config) => {
      const { dev, stateDir, trust, nats } = config;
      const problem = running.notServing();
      const served =
        problem === undefined ? `serves ${subjectsOf(config)}` : `serves nothing yet: ${problem}`;
      return welcome({
        ...running,
        dev,
        stateDir,
        trusts: trust !== undefined,
        ...(nats && { nats: served }),
      });
    },
    endsWithTerminal: options.dev === true && process.stdin.isTTY,
  });
}

/** Of coffer's own store, and of each backend with where its secrets lie. */
const subjectsOf = ({ wasmcloud, backends = [] }: ServerConfig): string =>
  [
    ...(wasmcloud.serve ? [`${subjectBase(wasmcloud)}.>`] : []),
    ...backends.map((backend) => `${subjectBase(backend)}.> (${backend.kind})`),
  ].join(', ');
