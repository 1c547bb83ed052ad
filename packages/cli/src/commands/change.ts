import { checkConfirmation } from '../confirmation.js';
import { type ConnectionOptions, withClient } from '../connection.js';
import { during, Failure } from '../failure.js';
import { parseVersion } from '../numbers.js';
import { print, printJson } from '../output.js';
import { quote } from '../quote.js';

/** The commands that change which versions there are and which is active: they write no value. */

export async function activate(name: string, versionText: string, options: ConnectionOptions): Promise<void> {
  const version = parseVersion(versionText);
  await withClient(options, (client) =>
    during('failed to set active version', client.activate(name, version)),
  );
}

export async function rollback(name: string, options: ConnectionOptions & { json?: boolean }): Promise<void> {
  const change = await withClient(options, async (client) => {
    const { activeVersion, versions } = await during('failed to roll back', client.info(name));
    const version = Math.max(0, ...versions.filter((each) => each < activeVersion));
    if (version === 0) {
      throw new Failure(
        `failed to roll back: ${quote(name)} has no version below ${activeVersion}, the active one; ` +
          '"coffer info" shows which it has, "coffer activate" makes any of them active',
      );
    }
    await during('failed to roll back', client.activate(name, version));
    return { name, activeVersion: version, previousVersion: activeVersion };
  });
  if (options.json) return printJson(change);
  await print(
    `Version ${change.activeVersion} of ${quote(name)} is active, in place of ${change.previousVersion}`,
  );
}

export async function deleteVersion(
  name: string,
  versionText: string,
  confirmation: string | undefined,
  options: ConnectionOptions,
): Promise<void> {
  const version = parseVersion(versionText);
  checkConfirmation(`delete-version:${name}:${version}`, confirmation);
  await withClient(options, (client) =>
    during(`failed to delete secret ${quote(name)} version ${version}`, client.deleteVersion(name, version)),
  );
}

export async function deleteSecret(
  name: string,
  confirmation: string | undefined,
  options: ConnectionOptions,
): Promise<void> {
  checkConfirmation(`delete-secret:${name}`, confirmation);
  await withClient(options, (client) =>
    during(`failed to delete secret ${quote(name)}`, client.delete(name)),
  );
}
