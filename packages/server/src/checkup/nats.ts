import { stat } from 'node:fs/promises';
import { rightsOfOthers } from '@coffer/engine';
import { connect } from '@nats-io/transport-node';
import { servedBackends } from '../config/backends.js';
import type { ServerConfig } from '../config/config.js';
import type { NatsReach } from '../config/nats.js';
import { connectionOptions } from '../nats/connection.js';
import { checkNatsFiles } from '../nats/credentials.js';
import { describeNatsError } from '../nats/describe-error.js';
import { tryOpenness } from '../nats/openness.js';
import { maskLogin } from '../nats/servers.js';
import { type Finding, looking, ok, problem, warning } from './finding.js';
import { checkFolderOfKey } from './folder.js';

const SUBJECT = 'NATS';

/** Whether the files that the connection needs can be used, and are for their owner only. */
export async function checkNatsSetup(config: ServerConfig): Promise<readonly Finding[]> {
  const { nats } = config;
  if (nats === undefined) return [];
  return looking(SUBJECT, async () => {
    checkNatsFiles(nats);
    const secret = [nats.creds, nats.nkey, nats.tls?.key].filter((path) => path !== undefined);
    const findings = await Promise.all(secret.map((path) => checkSecretFile(SUBJECT, path)));
    return findings.flat();
  });
}

/** Without them there is no connection: {@link checkNatsSetup} and its like say so, once. */
export function hasItsFiles(reach: NatsReach): boolean {
  try {
    checkNatsFiles(reach);
    return true;
  } catch {
    return false;
  }
}

export async function checkSecretFile(subject: string, path: string): Promise<readonly Finding[]> {
  if (rightsOfOthers(await stat(path)) !== 0) {
    return [problem(subject, `others can read ${path}: chmod 600 ${path}`)];
  }
  return [ok(subject, `${path}, for its owner only`), ...(await checkFolderOfKey(subject, path))];
}

/** Whether NATS can be reached, lets us in, and lets nobody in without credentials, as far as that can be seen from here. */
export async function checkNatsServer(config: ServerConfig): Promise<readonly Finding[]> {
  const { nats } = config;
  if (nats === undefined || !hasItsFiles(nats)) return [];
  return looking(SUBJECT, async () => {
    const where = nats.servers.map(maskLogin).join(', ');
    const options = { ...connectionOptions(nats, () => {}), reconnect: false };
    const connection = await connect(options).catch((error: unknown) => {
      throw new Error(`${where}: ${describeNatsError(error)}`, { cause: error });
    });
    try {
      const { version = '' } = connection.info ?? {};
      const found = await tryOpenness(connection, {
        config: nats,
        backends: servedBackends(config),
        subscribed: false,
      });
      const { state, says = '', untried = [] } = found;
      if (state === 'closed') {
        const closed = `${where} (${version}) lets us in, and nobody without credentials`;
        if (untried.length === 0) return ok(SUBJECT, closed);
        return warning(SUBJECT, `${closed}, as far as could be tried; not ${untried.join('; ')}`);
      }
      if (nats.allowOpen || found.needsSubscription)
        return warning(SUBJECT, `${where} (${version}): ${says}`);
      return problem(
        SUBJECT,
        `${where} (${version}): ${says}: "coffer wasmcloud permissions" writes what closes it`,
      );
    } finally {
      await connection.close();
    }
  });
}
