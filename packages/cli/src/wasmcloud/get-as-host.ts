import { createKeyPair, encodeWascap, tokenIn } from '@coffer/identity';
import { NoAnswerError, type Secret, SecretsClient, SecretsError } from '@coffer/wasmcloud';
import { read } from '../connection.js';
import { Failure } from '../failure.js';
import { note } from '../output.js';
import { quote } from '../quote.js';
import { addressOf, DEFAULT_NAME } from './address.js';
import { withNats } from './backend.js';
import type { GetOptions } from './get.js';
import { readSigned } from './signed-file.js';

/** As long as a host waits. */
const PATIENCE_MS = 10_000;

/**
 * Asks as a host does that is to start a component, to find out why it does not get its secrets.
 *
 * @param as a signed file, or a token
 */
export async function getAsHost(name: string, as: string, options: GetOptions): Promise<Secret> {
  const { prefix, name: backend } = addressOf(options);
  const application = applicationOf(options);
  const { token } = await readSigned(as);
  const hostJwt = options.hostJwt === undefined ? selfSigned() : tokenIn(read('--host-jwt', options.hostJwt));
  if (options.hostJwt === undefined)
    await note('Asking as a host with a key of its own, as stock hosts have it');
  const { secretVersion: version, field } = options;
  return withNats(options, async (nats) => {
    const client = new SecretsClient({ nats, prefix, timeoutMs: PATIENCE_MS, deadlineMs: PATIENCE_MS });
    try {
      const asked = { backend, key: name, version, field, entityJwt: token, hostJwt };
      return await client.get({ ...asked, application });
    } catch (error) {
      if (!(error instanceof SecretsError)) throw error;
      throw new Failure(`failed to get secret ${quote(name)} as a host: ${sentence(error, backend, name)}`);
    }
  });
}

/** The policy as a host writes it. */
function applicationOf({ application: name, policy }: GetOptions) {
  if (policy === undefined) return { ...(name !== undefined && { name }) };
  const properties = parsed(policy);
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) {
    throw new Failure('--policy takes the properties of a policy, as {"namespace": "shop"}');
  }
  const written = JSON.stringify({ type: 'properties.secret.wasmcloud.dev/v1alpha1', properties });
  return { ...(name !== undefined && { name }), policy: written };
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** A stock host makes its key and the account that signs it afresh at each start. */
function selfSigned(): string {
  using account = createKeyPair('account');
  using host = createKeyPair('server');
  const wascap = { name: 'coffer wasmcloud get', labels: { self_signed: 'true' } };
  return encodeWascap({ sub: host.publicKey, wascap }, account);
}

type Hints = Partial<Record<SecretsError['code'], string>>;

/** Of coffer's own store, by the name that it has unless its server was told another. */
const OWN_HINTS: Hints = {
  Unauthorized:
    'the backend believes the token, and no grant lets its entity have this secret: "coffer wasmcloud add-mapping KEY --secret ' +
    'NAME" does; "coffer wasmcloud inspect" shows the key, and the principal that grants name',
  SecretNotFound: 'its entity may have the secret, and there is none of this name and version',
  InvalidRequest: 'a version is a number, and a field stands in a secret that is a JSON object',
};

/** Of backends whose secrets may lie elsewhere. */
const hintsOf = (secret: string): Hints => ({
  Unauthorized:
    `the backend believes the token, and either no grant of "get" on ${quote(secret)} lets its entity have this secret, which is in ` +
    'coffer’s audit log, or what lies behind refuses it, which is in coffer’s log',
  SecretNotFound: 'its entity may have the secret, and there is none of this name, version and field',
  InvalidRequest: 'the backend has no secrets of such a name, version or field; coffer’s log says which',
});

/** The protocol's word first: it is what stands in a host's log. */
function sentence(error: SecretsError, backend: string, name: string): string {
  if (error instanceof NoAnswerError) return error.text;
  const hints = backend === DEFAULT_NAME ? OWN_HINTS : hintsOf(`${backend}/${name}`);
  const hint = hints[error.code];
  return hint === undefined ? error.message : `${error.code}: ${hint}`;
}
