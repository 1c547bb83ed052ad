import { z } from 'zod';
import { SecretsError } from '../protocol/errors.js';
import type { VaultOptions } from './options.js';
import { trimmedPath } from './path.js';
import { authPathOf, type Defaults, enginePathOf, namespaceOf, trimmedMount } from './reference.js';

/** What is there whatever stands in the options. */
export interface Settings {
  readonly audience: string;
  readonly timeoutMs: number;
  readonly retries: number;
}

const settingsSchema = z.object({
  audience: z.string().min(1).default('Vault'),
  timeoutSeconds: z.number().positive().max(3600).default(5),
  retries: z.int().min(0).max(10).default(2),
  role: z.string().min(1).optional(),
  kvVersion: z.literal([1, 2]).optional(),
});

/** @throws TypeError */
export function readSettings(options: Omit<VaultOptions, 'signingKeys'>): Settings {
  const read = settingsSchema.safeParse(options);
  if (!read.success) {
    const { path = [], message = '' } = read.error.issues[0] ?? {};
    throw new TypeError(`the option ${path.join('.')} of a Vault is wrong: ${message}`);
  }
  const { audience, timeoutSeconds, retries } = read.data;
  return { audience, timeoutMs: timeoutSeconds * 1000, retries };
}

/** @throws TypeError */
export function readDefaults({
  namespace,
  authMount = 'jwt',
  enginePath = 'secret',
  role,
}: Omit<VaultOptions, 'signingKeys'>): Defaults {
  try {
    const engine = trimmedPath(enginePath);
    const mount = trimmedMount(authMount);
    authPathOf(mount);
    enginePathOf(engine);
    return { namespace: namespaceOf(namespace), authMount: mount, enginePath: engine, role };
  } catch (error) {
    if (!(error instanceof SecretsError)) throw error;
    throw new TypeError(`an option of a Vault is wrong: as in a policy, ${error.text}`);
  }
}
