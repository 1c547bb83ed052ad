import { parsePublicKey } from '@coffer/identity';
import { Failure } from '../failure.js';
import { note, print, printJson, table } from '../output.js';
import { displayName } from '../quote.js';
import { type BackendOptions, withBackend } from './backend.js';
import { requireName } from './name.js';

/** `coffer wasmcloud add-mapping`, `remove-mapping` and `list-mappings`: which components and providers have which secrets. */

export type MappingOptions = BackendOptions & { readonly secret?: readonly string[] };

export async function addMapping(key: string, options: MappingOptions): Promise<void> {
  const names = secretsOf(key, options, 'add');
  await withBackend(options, ({ client, during }) =>
    during(`failed to map secrets to ${key}`, client.addMapping(key, names)),
  );
  await told(options, key, names, 'can now access secrets:');
}

export async function removeMapping(key: string, options: MappingOptions): Promise<void> {
  const names = secretsOf(key, options, 'remove');
  await withBackend(options, ({ client, during }) =>
    during(`failed to remove secrets of ${key}`, client.removeMapping(key, names)),
  );
  await told(options, key, names, 'no longer has access to secrets:');
}

export async function listMappings(key: string | undefined, options: BackendOptions): Promise<void> {
  if (key !== undefined) requireEntity(key);
  const mappings = await withBackend(
    options,
    ({ client, during }) => during('failed to list mappings', client.listMappings(key)),
    { reads: true },
  );
  if (options.json) return printJson(mappings);
  if (mappings.length === 0)
    await note('There are no mappings that you may see: "coffer wasmcloud add-mapping" makes one');
  const rows = mappings.map(({ entity, account, names }) => [
    entity,
    account ?? 'self-issued',
    names.map(displayName).join(', '),
  ]);
  await print(table([['KEY', 'ACCOUNT', 'SECRETS'], ...rows]));
}

function secretsOf(key: string, { secret: names = [] }: MappingOptions, what: string): readonly string[] {
  requireEntity(key);
  for (const name of names) requireName(name);
  if (names.length > 0) return names;
  throw new Failure(
    `at least one secret must be provided to ${what} a mapping: --secret NAME, as often as you like`,
  );
}

/** What it is about stands in a subject: anything else would be heard by nobody, or by the wrong one. */
function requireEntity(text: string): void {
  const kind = kindOf(text);
  if (kind === 'component' || kind === 'provider') return;
  throw new Failure(
    kind === undefined
      ? 'the first operand is the public key of a component (M…) or a provider (V…), 56 characters, which "coffer wasmcloud ' +
          'inspect" shows'
      : `${text} is the key of no component (M…) and no provider (V…): "coffer wasmcloud inspect" shows theirs`,
  );
}

function kindOf(text: string): string | undefined {
  try {
    return parsePublicKey(text).kind;
  } catch {
    return undefined;
  }
}

async function told(
  { json }: MappingOptions,
  key: string,
  names: readonly string[],
  what: string,
): Promise<void> {
  if (json) return printJson({ entity: key, names });
  await print(`Public key '${key}' ${what} [${names.map((name) => JSON.stringify(name)).join(', ')}]`);
}
