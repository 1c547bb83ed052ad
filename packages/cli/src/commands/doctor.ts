import type { Client } from '@coffer/client';
import type { Finding } from '@coffer/server';
import { authoritiesFrom, type ConnectionOptions, withClient, withSocket } from '../connection.js';
import { checkRunning } from '../doctor/running.js';
import { printFindings, requireNoProblem } from '../findings.js';
import { printJson } from '../output.js';
import { readVersion } from '../version.js';
import type { ServerOptions } from './server.js';

type Options = ServerOptions & ConnectionOptions & { readonly json?: boolean };

/** Looks at a server with -s, else at this machine's installation and at the server that runs on it. */
export async function doctor(options: Options): Promise<void> {
  const findings = options.server === undefined ? await checkHere(options) : await checkThere(options);
  if (options.json) await printJson({ findings });
  else await printFindings(findings);
  requireNoProblem(findings);
}

async function checkHere(options: Options): Promise<readonly Finding[]> {
  const { checkInstallation } = await import('@coffer/server');
  const { findings, socketPath } = await checkInstallation({ flags: options, env: process.env });
  if (socketPath === undefined) return findings;
  return [...findings, ...(await withSocket(socketPath, (client) => ask(client, { isAll: false })))];
}

function checkThere(options: Options): Promise<readonly Finding[]> {
  return withClient(options, (client) => ask(client, { ca: authoritiesFrom(options), isAll: true }));
}

function ask(client: Client, { ca, isAll }: { ca?: Buffer | undefined; isAll: boolean }): Promise<Finding[]> {
  return checkRunning({ client, ca, isAll, version: readVersion() });
}
