import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { CofferError } from '@coffer/engine';
import type { BackendConfig } from '../config/backends.js';
import type { ServerConfig } from '../config/config.js';
import { type Finding, ok, problem } from './finding.js';

/**
 * Refuses a module that is not there before anything is made.
 *
 * @throws CofferError `invalid_argument`
 */
export function checkBackendFiles(backends: readonly BackendConfig[] = []): void {
  const missing = backends.find((backend) => !isThere(backend));
  if (missing === undefined) return;
  throw new CofferError('invalid_argument', `the backend ${missing.name}: ${notThere(missing)}`);
}

/** What is served beside coffer's own store, and whether its files are there. Runs none of them. */
export function checkBackendSetup({ backends = [] }: ServerConfig): readonly Finding[] {
  return backends.map((backend) => {
    const subject = `backend ${backend.name}`;
    if (!isThere(backend)) return problem(subject, notThere(backend));
    return ok(subject, `${backend.kind} ${backend.module}`);
  });
}

/** Whether a package is there, only loading it tells. */
const isThere = ({ module }: BackendConfig): boolean => !isAbsolute(module) || existsSync(module);

const notThere = ({ module }: BackendConfig): string =>
  `there is no module ${module}: a path is relative to the configuration file`;
