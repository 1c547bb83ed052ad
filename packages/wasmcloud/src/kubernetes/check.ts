import { readKubeConfig } from './kubeconfig.js';
import { type KubernetesOptions, kubernetesSettings } from './settings.js';

/**
 * Whether `openKubernetes` would take these options: reads the kubeconfig, runs no plugin that it names, and asks no cluster.
 *
 * @throws as that does
 */
export async function checkKubernetes(options: KubernetesOptions): Promise<void> {
  await readKubeConfig(kubernetesSettings.parse(options), process.env);
}
