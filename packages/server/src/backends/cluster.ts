import { CofferError } from '@coffer/engine';
import type { SecretSource } from '@coffer/wasmcloud';
import { openKubernetes } from '@coffer/wasmcloud/kubernetes';
import type { KubernetesBackend } from '../config/backends.js';
import type { SourceGround } from './source.js';

/**
 * Opens the Secrets of a Kubernetes cluster, which need not be there yet.
 *
 * @throws CofferError `invalid_argument` for a kubeconfig that says too little
 */
export async function openCluster(
  { name, settings }: KubernetesBackend,
  { secretVariables }: Pick<SourceGround, 'secretVariables'>,
): Promise<SecretSource> {
  try {
    return await openKubernetes(settings, { secretVariables });
  } catch (error) {
    const { message } = error as Error;
    throw new CofferError('invalid_argument', `the backend ${name}: ${message}`, { cause: error });
  }
}
