import { ADMIN_OPERATIONS } from './admin-operations.js';
import type { Operation } from './operation.js';
import { OWN_OPERATIONS } from './own-operations.js';
import { SETEC_OPERATIONS } from './setec-operations.js';
import { STATUS_OPERATIONS } from './status-operations.js';

/**
 * Every operation that the server answers, as `METHOD /path`. A route that is not here, or that says something else than
 * the server does, fails a test: describe a new one in the file of its kind beside this one.
 */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  ...SETEC_OPERATIONS,
  ...OWN_OPERATIONS,
  ...ADMIN_OPERATIONS,
  ...STATUS_OPERATIONS,
};
