import { CofferClientError } from '../errors.js';
import { SecretBytes } from '../secret/secret-bytes.js';
import type { CallOptions } from '../types.js';
import type { Core } from './core.js';
import type { Held } from './held.js';
import { failed } from './rounds.js';
import { awaited, heeding } from './waiting.js';

/** A copy of a version's value, which is fetched if it is not held. */
export async function getVersion(
  core: Core,
  name: string,
  version: number,
  options: CallOptions = {},
): Promise<SecretBytes> {
  options.signal?.throwIfAborted();
  if (!(version > 0)) throw new CofferClientError('invalid_version', 'versions have numbers above 0');
  const held = core.hold(name);
  core.holdings.touch(held);
  const value = held.versions.get(version);
  if (value) return SecretBytes.copyOf(value);
  await heeding(load(core, held, version), options.signal);
  return getVersion(core, name, version, options);
}

/** Makes a version, which is held and active then. Takes the bytes over. */
export async function createVersion(
  core: Core,
  name: string,
  version: number,
  value: SecretBytes,
  options?: CallOptions,
): Promise<void> {
  const { client } = core;
  await core.calls
    .run(async (signal) => {
      if (!client.createVersion)
        throw new CofferClientError('unsupported', 'the client of the store makes no versions');
      await client.createVersion(name, version, value, { signal });
    }, options?.signal)
    .catch((error) => {
      value.wipe();
      throw error;
    });
  const held = core.hold(name);
  held.wanted = true;
  held.keep(version, value);
  core.holdings.changed = true;
  const before = held.secret;
  const failures = await awaited(core.pull([name]));
  // It is active now, though that cannot be seen from here.
  const kept = held.versions.get(version);
  if (kept && failed(failures, name) && held.secret === before)
    core.holdings.take(held, version, SecretBytes.copyOf(kept));
}

/** Fetches it, once for all who ask meanwhile. */
function load(core: Core, { name, loading }: Held, version: number): Promise<void> {
  const underWay =
    loading.get(version) ?? fetchVersion(core, name, version).finally(() => loading.delete(version));
  loading.set(version, underWay);
  return underWay;
}

async function fetchVersion(core: Core, name: string, version: number): Promise<void> {
  const { changes } = core.hold(name);
  await core.calls.run(async (signal) => {
    const { value } = await core.client.get(name, { version, signal });
    const held = signal.aborted ? undefined : core.hold(name);
    // What came meanwhile another way is no older.
    if (!held || held.versions.has(version)) return void value.fill(0);
    held.keep(version, value);
    core.holdings.changed = true;
    if (held.changes === changes) return;
    // It may have been on its way since before the change.
    held.doubtful = true;
    void core.pull([name]);
  });
  await core.flush();
}
