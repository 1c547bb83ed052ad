import type { ServerConfig } from '../config/config.js';
import { checkNatsFiles } from '../nats/credentials.js';
import { systemReach } from '../nats/store-connection.js';
import { type Finding, looking } from './finding.js';
import { checkSecretFile } from './nats.js';

const SUBJECT = 'JetStream';

/** Whether the files that the connection to a store in JetStream needs can be used, and are for their owner only. */
export async function checkStorageSetup({ storage }: ServerConfig): Promise<readonly Finding[]> {
  if (storage.kind !== 'jetstream') return [];
  return looking(SUBJECT, async () => {
    checkNatsFiles(storage, 'storage');
    if (storage.systemCreds) checkNatsFiles(systemReach(storage, storage.systemCreds), 'storage');
    const secret = [storage.creds, storage.nkey, storage.tls?.key, storage.systemCreds];
    const paths = secret.filter((path) => path !== undefined);
    return (await Promise.all(paths.map((path) => checkSecretFile(SUBJECT, path)))).flat();
  });
}
