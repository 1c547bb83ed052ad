import type { Client } from '@coffer/client';
import { type ConnectionOptions, caFrom, tokenFrom, warnIfExposed, withClient } from '../connection.js';
import { Failure } from '../failure.js';
import { note } from '../output.js';
import { displayName } from '../quote.js';
import { copyAll } from '../transfer/copy.js';
import { type LeftOut, type Outcome, type ReportOptions, report } from '../transfer/outcome.js';
import { saveAll } from '../transfer/save.js';
import { matching } from '../transfer/select.js';
import { VaultApi, type VaultLogin } from '../transfer/vault/api.js';
import { VaultEntries } from '../transfer/vault/entries.js';
import { VaultKv, type VaultSecrets } from '../transfer/vault/kv.js';

export type ImportVaultOptions = ConnectionOptions &
  ReportOptions & {
    readonly from?: string;
    readonly fromTokenFile?: string;
    readonly fromRoleId?: string;
    readonly fromSecretIdFile?: string;
    readonly fromApprole?: string;
    readonly fromNamespace?: string;
    readonly fromCa?: string;
    readonly mount?: string;
    readonly prefix?: string;
    readonly secrets?: readonly string[];
    readonly entries?: boolean;
    readonly activate?: boolean;
  };

interface Told {
  readonly outcomes: readonly Outcome[];
  readonly leftOut: readonly LeftOut[];
}

/** Copies a mount of Vault's secrets engine KV; of version 2 each version under its number. */
export async function importVault(options: ImportVaultOptions): Promise<void> {
  const mount = (options.mount ?? 'secret').replace(/^\/+|\/+$/g, '');
  if (mount === '')
    throw new Failure('--mount is empty: name where the secrets are mounted in Vault, such as secret');
  const login = loginOf(options);
  const { outcomes, leftOut } = await withVault(options, login, async (vault) => {
    const kv = await VaultKv.open(vault, mount);
    const listing = await kv.list();
    const selected = matching(options.secrets ?? []);
    const paths = listing.paths.filter((path) => selected({ name: path }));
    if (paths.length === 0 && listing.paths.length > 0) {
      throw new Failure('nothing to copy: Vault shows no secret with such a name');
    }
    using entries = new VaultEntries(kv);
    const source = options.entries ? entries : kv;
    const told = await withClient(options, async (client) => {
      await note(`From ${displayName(mount)} at ${vault.display} to ${displayName(client.server)}`);
      return kv.version === 2
        ? copyVersions(source, paths, client, options)
        : { outcomes: await saveValues(source, paths, client, options), leftOut: [] };
    });
    return { ...told, outcomes: [...told.outcomes, ...listing.failed] };
  });
  await report(outcomes, options, { leftOut });
}

async function copyVersions(
  vault: VaultSecrets,
  paths: readonly string[],
  target: Client,
  { prefix = '', dryRun = false, activate = false }: ImportVaultOptions,
): Promise<Told> {
  const named = <T extends { readonly name: string }>(each: T): T => ({ ...each, name: prefix + each.name });
  const { secrets, leftOut, failed } = await vault.versions(paths);
  const source = {
    values: (name: string, versions: readonly number[]) => vault.values(name.slice(prefix.length), versions),
  };
  const servers = { source, target, dryRun, activate, follow: true };
  const copied = await copyAll(secrets.map(named), servers);
  return { outcomes: [...copied, ...failed.map(named)], leftOut: leftOut.map(named) };
}

async function saveValues(
  vault: VaultSecrets,
  paths: readonly string[],
  target: Client,
  options: ImportVaultOptions,
): Promise<readonly Outcome[]> {
  const { prefix = '' } = options;
  const { names, failed } = await vault.names(paths);
  const items = names.map((name) => ({ name: prefix + name, read: () => vault.value(name) }));
  const saved = await saveAll(target, items, options);
  return [...saved, ...failed.map((each) => ({ ...each, name: prefix + each.name }))];
}

async function withVault<T>(
  { from, fromCa, fromNamespace }: ImportVaultOptions,
  login: VaultLogin,
  use: (vault: VaultApi) => Promise<T>,
): Promise<T> {
  const { VAULT_ADDR, VAULT_CACERT, VAULT_NAMESPACE } = process.env;
  const address = from || VAULT_ADDR;
  if (!address) throw new Failure('which Vault shall be read? --from URL names it, or VAULT_ADDR');
  await using vault = await VaultApi.at({
    address,
    namespace: (fromNamespace ?? VAULT_NAMESPACE)?.replace(/^\/+|\/+$/g, '') || undefined,
    ca:
      fromCa === undefined ? caFrom('VAULT_CACERT', VAULT_CACERT || undefined) : caFrom('--from-ca', fromCa),
  });
  await warnIfExposed({ exposed: vault.exposed, server: vault.display });
  await vault.login(login);
  return await use(vault);
}

/** By a role, if one is named; else by the token of a file, or the environment's. */
function loginOf(options: ImportVaultOptions): VaultLogin {
  const { fromTokenFile, fromRoleId, fromSecretIdFile, fromApprole = 'approle' } = options;
  if (fromRoleId !== undefined) {
    if (fromTokenFile !== undefined) throw new Failure('use either --from-token-file or --from-role-id');
    const secretId =
      fromSecretIdFile === undefined ? undefined : tokenFrom('--from-secret-id-file', fromSecretIdFile);
    return { roleId: fromRoleId, secretId, mount: fromApprole.replace(/^\/+|\/+$/g, '') };
  }
  if (fromSecretIdFile !== undefined) throw new Failure('--from-secret-id-file goes with --from-role-id');
  if (fromTokenFile !== undefined) return { token: tokenFrom('--from-token-file', fromTokenFile) };
  const { VAULT_TOKEN } = process.env;
  if (VAULT_TOKEN) return { token: VAULT_TOKEN };
  throw new Failure(
    'who reads Vault? Use --from-token-file FILE (~/.vault-token is what "vault login" writes), VAULT_TOKEN, or --from-role-id with ' +
      '--from-secret-id-file',
  );
}
