import { writeFileSync } from 'node:fs';
import { Client } from '@coffer/client';
import { type AuditVerdict, verifyAuditLog } from '@coffer/engine';
import { IdentityError, verify } from '@coffer/identity';
import { expect } from 'vitest';

import { expectNoCanary } from '../support/canary.mjs';
import { Process, type TemporaryFolder } from '../support/processes.mjs';
import { cofferCommand } from '../support/servers.mjs';

export interface ServerOptions {
  /** What runs the server, such as `strace` and its arguments. */
  readonly under?: readonly string[];
  /** The configuration file's content. */
  readonly config?: string;
  /** Where the state is, if not in the folder itself. */
  readonly stateDir?: string;
}

/** A development server over the folder's store, not yet known to be up. */
export function launch(folder: TemporaryFolder, options: ServerOptions = {}): Process {
  const { under = [], config, stateDir = folder.join('state') } = options;
  const args = ['server', '--dev', '--listen', '127.0.0.1:0', '--state-dir', stateDir];
  args.push('--root-key', `file:${folder.join('root.key')}`);
  if (config !== undefined) {
    writeFileSync(folder.join('coffer.yaml'), config);
    args.push('--config', folder.join('coffer.yaml'));
  }
  const [node, coffer] = cofferCommand(...args);
  const [command, ...rest] = [...under, node, ...coffer] as [string, ...string[]];
  const server = new Process(command, rest);
  // A rejection that nobody handles fails the run.
  void server.exited.then(() => expectNoCanary(server.output, "the server's output"));
  return server;
}

export async function urlOf(server: Process): Promise<string> {
  const [url] = await server.waitFor(/http:\/\/127\.0\.0\.1:[1-9]\d*/, { timeoutMs: 60_000 });
  return url;
}

/** A client that asks once, so that its caller knows what was acknowledged. */
export const clientOf = (url: string): Client => new Client({ server: url, retries: 0, timeout: 60_000 });

/** Proves the whole audit log: chain, signatures by the server's own key, and no open intent. */
export async function expectSoundAudit(client: Client, stateDir: string): Promise<AuditVerdict> {
  const { server } = await client.whoami();
  const verdict = await verifyAuditLog(`${stateDir}/audit`, {
    storeId: server.storeId,
    key: server.serverKey,
    live: true,
    verify: (message, signature, publicKey) => {
      try {
        return verify(publicKey, message, signature);
      } catch (error) {
        if (error instanceof IdentityError) return false;
        throw error;
      }
    },
  });
  expect(verdict.broken).toBeUndefined();
  expect(verdict.openIntents).toEqual([]);
  return verdict;
}

/** How a call ended: its result, or the code of its error. */
export async function outcomeOf<T>(call: Promise<T>): Promise<{ value: T } | { code: string }> {
  return call.then(
    (value) => ({ value }),
    (error: { code: string }) => ({ code: error.code }),
  );
}
