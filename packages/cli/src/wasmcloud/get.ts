import type { Secret } from '@coffer/wasmcloud';
import { Failure } from '../failure.js';
import { note, printJson, write } from '../output.js';
import { quote } from '../quote.js';
import { type BackendOptions, withBackend } from './backend.js';
import { requireName } from './name.js';

/** `coffer wasmcloud get`: a value from a backend, as a person who may read it, or as a host would. */

export type GetOptions = BackendOptions & {
  readonly secretVersion?: string;
  readonly field?: string;
  readonly kind?: Secret['kind'];
  readonly secretsBucket?: string;
  /** A signed file or a token: whose name a host would ask in. */
  readonly as?: string;
  readonly hostJwt?: string;
  readonly application?: string;
  /** Properties, as JSON. */
  readonly policy?: string;
};

export async function get(name: string, options: GetOptions): Promise<void> {
  requireName(name);
  if (options.as === undefined && (options.hostJwt ?? options.application ?? options.policy) !== undefined) {
    throw new Failure('--host-jwt, --application and --policy go with --as, which says for whom a host asks');
  }
  if (options.secretsBucket !== undefined) {
    await note('coffer: -b is passed over: the backend is asked, and no bucket is read');
  }
  const secret =
    options.as === undefined ? await ask(name, options) : await askAsHost(name, options.as, options);
  try {
    requireKind(secret, options.kind);
    const { value, version, kind } = secret;
    if (options.json) {
      return await printJson({
        name,
        version: Number(version),
        kind,
        value: Buffer.from(value).toString('base64'),
      });
    }
    await write(process.stdout, value);
    if (process.stdout.isTTY) await write(process.stdout, '\n');
  } finally {
    secret.value.fill(0);
  }
}

const ask = (name: string, options: GetOptions): Promise<Secret> =>
  withBackend(
    options,
    ({ client, during }) =>
      during(
        `failed to get secret ${quote(name)}`,
        client.getSecret({ key: name, version: options.secretVersion, field: options.field }),
      ),
    { reads: true },
  );

async function askAsHost(name: string, as: string, options: GetOptions): Promise<Secret> {
  const { getAsHost } = await import('./get-as-host.js');
  return getAsHost(name, as, options);
}

function requireKind({ kind }: Secret, wanted: Secret['kind'] | undefined): void {
  if (wanted === undefined || kind === wanted) return;
  throw new Failure(`secret was in ${kind} format, but ${wanted} format was requested`);
}
