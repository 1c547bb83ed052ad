import { type Command, Option } from 'commander';
import { act, defineCommand, examples } from './define.js';
import { addAddressOptions, addNatsOptions, addQueueOption, collect } from './define-wasmcloud-options.js';

/** Declares the server for wasmCloud alone. */
export function defineWasmcloudRun(wasmcloud: Command): void {
  const run = addTrustOptions(
    addNatsOptions(
      addQueueOption(
        addAddressOptions(
          defineCommand(
            wasmcloud,
            'run',
            'serve secrets to wasmCloud hosts over NATS',
            'In place of "secrets-nats-kv run", whose flags and variables it takes. Secrets are kept in the state folder, encrypted, ' +
              'and only components of those who are trusted get them. It is "coffer server" without HTTP; what these flags do not ' +
              'say, a configuration file can.',
          ),
        ),
      ),
    ),
  )
    .option(
      '-e, --encryption-xkey-seed <seed>',
      'derive the root key from this seed of an xkey; better in ENCRYPTION_XKEY_SEED (default: --root-key’s)',
    )
    .option(
      '-t, --transit-xkey-seed <seed>',
      'take this seed’s key for the transit key; better in TRANSIT_XKEY_SEED (default: one is made and kept in the store)',
    )
    .option('-b, --secrets-bucket <name>', 'passed over: no bucket is read or written')
    .option('--max-secret-history <n>', 'how many versions of each secret to keep (default: all)')
    .option('--secrets-api-version <version>', 'v1alpha1, the only one there is')
    .option('--state-dir <dir>', 'where the store and the audit log are (default: ~/.local/state/coffer)')
    .option('--root-key <spec>', 'where the root key is, as for "coffer server"')
    .option('--listen <host:port>', 'serve HTTP there, too (default: none)')
    .option('--config <file>', 'a configuration file (YAML), behind these flags')
    .option(
      '--accept-rollback',
      'start although the store or the audit log was put back to an earlier state; the log will say so',
    );
  act(run, async (options) => (await import('./wasmcloud/run.js')).run(options));
  examples(
    run,
    'coffer wasmcloud run --trusted-account A… --nats-creds-file backend.creds',
    'coffer wasmcloud run --trusted-operator op.jwt --account-tokens ./accounts --mapping-account A…',
    'coffer wasmcloud run --trust self-issued --allow-open-nats --allow-unauthenticated-admin    as secrets-nats-kv',
  );
}

/** Whose components are believed. */
export function addTrustedOptions(command: Command): Command {
  return command
    .addOption(
      option(
        '--trusted-account <key>',
        'believe components that this account (A…) or a signing key of it signed; as often as you like',
      ).argParser(collect),
    )
    .addOption(
      option(
        '--trusted-operator <key>',
        'believe those that its accounts signed, too: O…, or a file with its token; as often as you like',
      ).argParser(collect),
    )
    .addOption(
      option('--account-tokens <dir>', 'where the accounts’ tokens are: a folder with a file for each'),
    )
    .addOption(
      option('--trust-store <dir>', 'the same: an operator’s folder in an nsc store, which is trusted, too'),
    )
    .addOption(
      option('--trust <how>', 'self-issued: believe any component on its own word, for a migration').choices([
        'lineage',
        'self-issued',
      ]),
    )
    .addOption(option('--allow-open-nats', 'serve although the NATS server lets everybody in'));
}

const option = (flags: string, description: string) => new Option(flags, description).helpGroup('Trust:');

function addTrustOptions(command: Command): Command {
  return addTrustedOptions(command)
    .addOption(
      option('--mapping-account <key>', 'under which account add-mapping lets a component have secrets'),
    )
    .addOption(
      option(
        '--allow-unauthenticated-admin',
        'let anybody put secrets and edit mappings on such a NATS server',
      ),
    )
    .addOption(
      option(
        '--signed-admin-only',
        'take no unsigned administration: whoever NATS lets publish put_secret could put every secret',
      ),
    );
}
