import { z } from 'zod';
import type { SecretSource } from '../backend/source.js';
import { ApiServer } from './api-server.js';
import { Credentials } from './credentials.js';
import { Permissions } from './impersonation.js';
import { kubeConfigReader } from './kubeconfig.js';
import { type KubernetesOptions, kubernetesSettings } from './settings.js';
import { KubernetesSource } from './source.js';

export interface KubernetesSurroundings {
  /** Variables of the environment that plugins are not to see, beside those that are coffer's by their names. */
  readonly secretVariables?: readonly string[] | undefined;
}

/**
 * Opens a source of a cluster's Secrets. The API server is not asked yet: it may be away.
 *
 * @throws TypeError for settings that are none; Error for a kubeconfig that cannot be read or names no cluster
 */
export async function openKubernetes(
  options: KubernetesOptions,
  { secretVariables }: KubernetesSurroundings = {},
): Promise<SecretSource> {
  const settings = settingsOf(options);
  const credentials = await Credentials.open(kubeConfigReader(settings, process.env, secretVariables));
  const apiServer = new ApiServer({
    credentials,
    timeoutMs: settings.timeoutSeconds * 1000,
    retries: settings.retries,
  });
  return new KubernetesSource({
    apiServer,
    permissions: new Permissions(settings),
    namespace: settings.namespace,
    anyVersion: settings.anyVersion,
  });
}

function settingsOf(options: KubernetesOptions) {
  const read = kubernetesSettings.safeParse(options);
  if (read.success) return read.data;
  throw new TypeError(`settings of the Kubernetes backend: ${z.prettifyError(read.error)}`);
}
