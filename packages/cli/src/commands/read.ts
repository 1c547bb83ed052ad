import type { SecretInfo } from '@coffer/client';
import { type ConnectionOptions, withClient } from '../connection.js';
import { during, Failure } from '../failure.js';
import { parseVersion } from '../numbers.js';
import { print, printJson, table, write } from '../output.js';
import { displayName } from '../quote.js';

/** The commands that only read: `list`, `info`, `get`. */

export async function list(options: ConnectionOptions & { json?: boolean }): Promise<void> {
  const secrets = await withClient(options, (client) => during('failed to list secrets', client.list()));
  if (options.json) return printJson(secrets);
  const rows = secrets.map(({ name, activeVersion, versions }: SecretInfo) => [
    displayName(name),
    String(activeVersion),
    versions.join(','),
  ]);
  await print(table([['NAME', 'ACTIVE', 'VERSIONS'], ...rows]));
}

export async function info(name: string, options: ConnectionOptions & { json?: boolean }): Promise<void> {
  const secret = await withClient(options, (client) =>
    during('failed to get secret info', client.info(name)),
  );
  if (options.json) return printJson(secret);
  await print(
    table([
      ['Name:', displayName(secret.name)],
      ['Active version:', String(secret.activeVersion)],
      ['Versions:', secret.versions.join(', ')],
    ]),
  );
}

export async function get(
  name: string,
  options: ConnectionOptions & { version?: string; ifChanged?: boolean; json?: boolean },
): Promise<void> {
  const wanted = options.version === undefined ? 0 : parseVersion(options.version, 0);
  const secret = await withClient(options, (client) =>
    during(
      'failed to get secret',
      options.ifChanged ? client.getIfChanged(name, wanted) : client.get(name, { version: wanted }),
    ),
  );
  if (secret === undefined) {
    throw new Failure(`failed to get secret: value not changed: version ${wanted} is still the active one`);
  }
  const { value, version } = secret;
  try {
    if (options.json) {
      await printJson({ name, version, value: Buffer.from(value.buffer).toString('base64') });
    } else {
      await write(process.stdout, value);
      if (process.stdout.isTTY) await write(process.stdout, '\n');
    }
  } finally {
    value.fill(0);
  }
}
