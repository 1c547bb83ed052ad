import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { CofferError } from '@coffer/engine';
import type { BackendConfig } from '../config/backends.js';
import type { ServerConfig } from '../config/config.js';
import { type Finding, ok, problem } from './finding.js';

/**
 * Refuses a module or a kubeconfig that is not there before anything is made.
 *
 * @throws CofferError `invalid_argument`
 */
export function checkBackendFiles(backends: readonly BackendConfig[] = []): void {
  for (const backend of backends) {
    const missing = missingOf(backend);
    if (missing !== undefined) {
      throw new CofferError('invalid_argument', `the backend ${backend.name}: ${missing}`);
    }
  }
}

/** What is served beside coffer's own store, and whether its files are there. Runs none of them. */
export function checkBackendSetup({ backends = [] }: ServerConfig): readonly Finding[] {
  return backends.map((backend) => {
    const subject = `backend ${backend.name}`;
    const missing = missingOf(backend);
    return missing === undefined ? ok(subject, described(backend)) : problem(subject, missing);
  });
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

/** Whether a package is there, only loading it tells. */
function missingOf(backend: BackendConfig): string | undefined {
  if (backend.kind === 'kubernetes') {
    const { kubeconfig } = backend.settings;
    if (kubeconfig === undefined || existsSync(kubeconfig)) return undefined;
    return `there is no kubeconfig ${kubeconfig}: a path is relative to the folder that the server is started in`;
  }
  if (backend.kind === 'vault') return undefined;
  const { module } = backend;
  if (!isAbsolute(module) || existsSync(module)) return undefined;
  return `there is no module ${module}: a path is relative to the configuration file`;
}
