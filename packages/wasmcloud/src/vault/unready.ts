import { z } from 'zod';
import { SecretsError } from '../protocol/errors.js';
import { readJson } from '../protocol/json.js';
import type { VaultApi } from './api.js';
import type { Patience } from './http.js';

/** Whatever its state is, it says so in the same way. One that stands by hands on what it is asked. */
const HEALTH =
  'sys/health?standbyok=true&perfstandbyok=true&sealedcode=200&uninitcode=200&drsecondarycode=200&removedcode=200&haunhealthycode=200';

const healthSchema = z.object({
  initialized: z.boolean(),
  sealed: z.boolean(),
  standby: z.boolean(),
  ha_connection_healthy: z.boolean().optional(),
  replication_dr_mode: z.string().optional(),
});

/** Why a Vault cannot answer now; undefined: it can. @throws the signal's reason */
export async function whyUnready(api: VaultApi, patience: Patience): Promise<string | undefined> {
  try {
    const { body } = await api.ask({ method: 'GET', path: HEALTH }, patience);
    const health = readJson(healthSchema, body);
    if (health === undefined) return 'what answers at this address is no Vault';
    if (!health.initialized) return 'Vault is not initialized';
    if (health.sealed) return 'Vault is sealed';
    if (health.standby && health.ha_connection_healthy === false)
      return 'Vault stands by, and has lost the active one';
    if (health.replication_dr_mode === 'secondary')
      return 'Vault stands by for a disaster, and answers nothing';
    return undefined;
  } catch (error) {
    if (error instanceof SecretsError) return error.text;
    throw error;
  }
}
