import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { CofferError } from '@coffer/engine';
import { isModuleThere } from '../backends/module.js';
import {
  type BackendConfig,
  type KubernetesBackend,
  type ModuleBackend,
  noticesOf,
} from '../config/backends.js';
import type { ServerConfig } from '../config/config.js';
import { type Finding, ok, problem, warning } from './finding.js';

/**
 * Refuses what no backend could be opened with, before anything is made.
 *
 * @throws CofferError `invalid_argument`
 */
export async function checkBackendFiles(backends: readonly BackendConfig[] = []): Promise<void> {
  for (const backend of backends) {
    const wrong = await wrongWith(backend);
    if (wrong !== undefined)
      throw new CofferError('invalid_argument', `the backend ${backend.name}: ${wrong}`);
  }
}

/** What is served beside coffer's own store, and whether it could be opened. Runs none of it, and asks nobody. */
export async function checkBackendSetup({ backends = [] }: ServerConfig): Promise<readonly Finding[]> {
  const found = await Promise.all(
    backends.map(async (backend) => {
      const subject = `backend ${backend.name}`;
      const wrong = await wrongWith(backend);
      return wrong === undefined ? ok(subject, described(backend)) : problem(subject, wrong);
    }),
  );
  return [...found, ...noticesOf(backends).map((sentence) => warning('backends', sentence))];
}

function described(backend: BackendConfig): string {
  switch (backend.kind) {
    case 'vault':
      return `Vault at ${backend.settings.address}`;
    case 'kubernetes':
      return `${backend.kind}, namespace ${backend.settings.namespace}`;
    default:
      return `module ${backend.module}`;
  }
}

async function wrongWith(backend: BackendConfig): Promise<string | undefined> {
  switch (backend.kind) {
    case 'vault': {
      const { checkVault } = await import('@coffer/wasmcloud/vault');
      return said(checkVault(backend.settings));
    }
    case 'kubernetes':
      return wrongWithCluster(backend);
    default:
      return missing(backend);
  }
}

async function wrongWithCluster({ settings }: KubernetesBackend): Promise<string | undefined> {
  const { kubeconfig } = settings;
  if (kubeconfig !== undefined && !existsSync(kubeconfig)) {
    return `there is no kubeconfig ${kubeconfig}: a path is relative to the folder that the server is started in`;
  }
  const { checkKubernetes } = await import('@coffer/wasmcloud/kubernetes');
  return said(checkKubernetes(settings));
}

function missing(backend: ModuleBackend): string | undefined {
  if (isModuleThere(backend)) return undefined;
  const { module, folder } = backend;
  return isAbsolute(module)
    ? `there is no module ${module}: a path is relative to the configuration file`
    : `there is no package ${module} in ${folder}, nor where coffer is: install it there, or write the path of a file, which begins with ./`;
}

/** The sentence that it is refused with. */
const said = (checking: Promise<void>): Promise<string | undefined> =>
  checking.then(
    () => undefined,
    (error: Error) => error.message,
  );
