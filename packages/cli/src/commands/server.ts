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
    welcome: (running, { dev, stateDir, trust, nats, wasmcloud }) => {
      const problem = running.notServing();
      const served =
        problem === undefined ? `serves ${subjectBase(wasmcloud)}.>` : `serves nothing yet: ${problem}`;
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
