/** The Secrets of a Kubernetes cluster as a backend for wasmCloud. */
export { openKubernetes } from './open.js';
export {
  type ImpersonationRule,
  type KubernetesOptions,
  type KubernetesSettings,
  kubernetesSettings,
} from './settings.js';
