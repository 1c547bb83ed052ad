import { keyPairFromSeed } from '@coffer/identity';
import type { NatsConnection } from '@nats-io/transport-node';
import { type ConnectionOptions, withAdmin } from '../connection.js';
import { Failure } from '../failure.js';
import { note } from '../output.js';
import { displayName, quote } from '../quote.js';
import { copyAll } from '../transfer/copy.js';
import { mapAll, type Wanted } from '../transfer/grants.js';
import { type Outcome, type ReportOptions, report } from '../transfer/outcome.js';
import { checkBucketName, NatsBucket } from '../transfer/secrets-nats-kv/bucket.js';
import { mappingsIn, SecretsNatsKv } from '../transfer/secrets-nats-kv/secrets.js';
import { matching } from '../transfer/select.js';
import { type AddressOptions, addressOf } from '../wasmcloud/address.js';
import { withNats } from '../wasmcloud/backend.js';
import type { NatsOptions } from '../wasmcloud/nats.js';
import { seedBytes } from '../wasmcloud/run-seeds.js';
import { noteSeedFlags, type SeedOptions } from '../wasmcloud/seeds.js';

export type ImportSecretsNatsKvOptions = ConnectionOptions &
  ReportOptions &
  Omit<NatsOptions, 'creds'> &
  Pick<AddressOptions, 'name'> &
  Pick<SeedOptions, 'encryptionXkeySeed'> & {
    readonly secretsBucket?: string;
    readonly secrets?: readonly string[];
    readonly activate?: boolean;
    readonly mappingAccount?: string;
    /** False with `--no-mappings`. */
    readonly mappings?: boolean;
  };

const STOCK_BUCKET = 'WASMCLOUD_SECRETS';

/** Copies what secrets-nats-kv has: secrets with their revisions as numbers, and its mappings as grants. */
export async function importSecretsNatsKv(options: ImportSecretsNatsKvOptions): Promise<void> {
  const { encryptionXkeySeed } = options;
  const secretsBucket = checkBucketName(options.secretsBucket ?? STOCK_BUCKET);
  const account = accountOf(options);
  const stateBucket = checkBucketName(`SECRETS_${addressOf(options).name}_state`);
  await noteSeedFlags(encryptionXkeySeed === undefined ? {} : { encryptionXkeySeed });
  const seed = seedBytes('-e', encryptionXkeySeed || process.env.ENCRYPTION_XKEY_SEED);
  if (seed === undefined) {
    throw new Failure(
      'the seed is needed with which "secrets-nats-kv run" encrypts its bucket: put it into ENCRYPTION_XKEY_SEED',
    );
  }
  using key = keyPairFromSeed(seed);
  seed.fill(0);
  await withNats(natsOptionsOf(options), async (nats) => {
    const selected = matching(options.secrets ?? []);
    const source = new SecretsNatsKv(new NatsBucket(nats, secretsBucket), key);
    const keys = await keysIn(nats, secretsBucket);
    const wanted = keys.filter((key) => selected({ name: key }));
    if (wanted.length === 0 && keys.length > 0) {
      throw new Failure('nothing to copy: the bucket holds no secret with such a name');
    }
    const listing = await source.list(wanted);
    const mappings =
      options.mappings === false
        ? undefined
        : await wantedMappings(new NatsBucket(nats, stateBucket), account, selected);
    const { dryRun = false, activate = false } = options;
    const [copied, mapped] = await withAdmin(options, async (admin, client) => {
      await note(`From ${secretsBucket} at ${nats.getServer()} to ${displayName(client.server)}`);
      const servers = { source, target: client, dryRun, activate, follow: true };
      return [
        await copyAll(listing.secrets, servers),
        mappings && [...(await mapAll(admin, mappings.wanted, { dryRun })), ...mappings.failed],
      ];
    });
    const outcomes = [...copied, ...listing.failed];
    await report(outcomes, options, { leftOut: listing.leftOut, ...(mapped && { mappings: mapped }) });
  });
}

/** Without the creds for the server that takes the secrets: NATS is not shown them. */
const natsOptionsOf = (options: ImportSecretsNatsKvOptions): NatsOptions => {
  const { creds: _, ...others } = options;
  return others;
};

async function keysIn(nats: NatsConnection, bucket: string): Promise<readonly string[]> {
  const keys = await new NatsBucket(nats, bucket).keys();
  if (keys !== undefined) return keys;
  throw new Failure(
    `there is no bucket ${bucket} at ${nats.getServer()}: -b NAME names another, as for "secrets-nats-kv run", and --nats-creds-file ` +
      'the account that it is in',
  );
}

async function wantedMappings(
  bucket: NatsBucket,
  account: string | undefined,
  selected: (secret: { readonly name: string }) => boolean,
): Promise<{ wanted: readonly Wanted[]; failed: readonly Outcome[] }> {
  const { mappings, failed } = await mappingsIn(bucket);
  const some = mappings
    .map((mapping) => ({ ...mapping, names: mapping.names.filter((name) => selected({ name })) }))
    .filter(({ names }) => names.length > 0);
  if (some.length > 0 && account === undefined) {
    throw new Failure(
      `${some.length === 1 ? 'a component or provider is' : `${some.length} components or providers are`} mapped to secrets: --mapping-account A… names the account whose they are, as "coffer ` +
        'wasmcloud run" has it, or "self-issued"; --no-mappings leaves them out',
    );
  }
  const wanted = some.map(({ entity, kind, names }) => ({
    principal: `${kind}:${account}/${entity}`,
    names,
  }));
  return { wanted, failed };
}

function accountOf({ mappingAccount, mappings }: ImportSecretsNatsKvOptions): string | undefined {
  if (mappingAccount === undefined) return undefined;
  if (mappings === false) throw new Failure('use either --mapping-account or --no-mappings');
  if (mappingAccount === 'self-issued' || /^A[A-Z2-7]{55}$/.test(mappingAccount)) return mappingAccount;
  throw new Failure(
    `invalid --mapping-account ${/^S/.test(mappingAccount) ? '(a seed, which is secret)' : quote(mappingAccount)}: it takes the public key of an account, A… and 56 characters, or "self-issued"`,
  );
}
