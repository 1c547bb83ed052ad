/** The Secrets of a Kubernetes cluster as a backend for wasmCloud. */
export { checkKubernetes } from './check.js';
export { type Environment, type KubeConfigSource, secretFilesOf } from './kubeconfig.js';
export { type KubernetesSurroundings, openKubernetes } from './open.js';
export {
  type ImpersonationRule,
  type KubernetesOptions,
  type KubernetesSettings,
  kubernetesSettings,
} from './settings.js';
