import { VaultHttp } from './http.js';
import type { VaultOptions } from './options.js';
import { readDefaults, readSettings } from './settings.js';

/**
 * Whether `openVault` would take these options. Asks no Vault.
 *
 * @throws as that does
 */
export async function checkVault(options: Omit<VaultOptions, 'signingKeys'>): Promise<void> {
  readSettings(options);
  readDefaults(options);
  const http = await VaultHttp.at(options.address, options);
  http.close();
}
