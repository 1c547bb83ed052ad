import { secretFilesOf } from '@coffer/wasmcloud/kubernetes';
import type { ConfigSources, ServerConfig } from '../config/config.js';
import { type Finding, looking } from './finding.js';
import { checkSecretFile } from './nats.js';

/**
 * Whether the files by which coffer is somebody to a cluster are for their owner only. Who reads them is coffer there, and who
 * writes a kubeconfig has coffer run what it names.
 */
export async function checkKubeconfigs(
  { backends = [] }: ServerConfig,
  env: ConfigSources['env'],
): Promise<readonly Finding[]> {
  const found = backends.map(async (backend) => {
    if (backend.kind !== 'kubernetes') return [];
    const subject = `backend ${backend.name}`;
    // That they cannot be read is told where the backend is looked at.
    const files = await secretFilesOf(backend.settings, env).catch(() => []);
    const all = files.map((file) => looking(subject, () => checkSecretFile(subject, file)));
    return (await Promise.all(all)).flat();
  });
  return (await Promise.all(found)).flat();
}
