import type { Command } from 'commander';
import { act, addJsonOption, defineCommand, examples } from './define.js';
import { addFolderOptions, addKeyOption } from './define-identity-options.js';
import { defineDropIns } from './define-wasmcloud-drop-in.js';
import { addAddressOptions, addQueueOption } from './define-wasmcloud-options.js';
import { defineWasmcloudRun } from './define-wasmcloud-run.js';
import { defineWasmcloudSecrets } from './define-wasmcloud-secrets.js';
import { defineSigningCommands, defineTransitCommands } from './define-wasmcloud-transit.js';

/** Declares the commands on wasmCloud's secrets. Each loads its code only when it runs. */
export function defineWasmcloudCommands(program: Command): void {
  const wasmcloud = defineCommand(
    program,
    'wasmcloud',
    'serve secrets to wasmCloud hosts over NATS, and administer them there',
    'run, vault and kube are servers, which take the flags and variables of secrets-nats-kv, secrets-vault and secrets-kubernetes. ' +
      'put, get and the mappings ask a backend over NATS, as those of secrets-nats-kv do; transit-keys, rotate-transit, ' +
      'retire-transit and signing-keys ask a coffer server.',
  ).helpGroup('wasmCloud:');
  defineWasmcloudRun(wasmcloud);
  defineDropIns(wasmcloud);
  defineWasmcloudSecrets(wasmcloud);
  defineInspect(wasmcloud);
  definePermissions(wasmcloud);
  defineTransitCommands(wasmcloud);
  defineSigningCommands(wasmcloud);
}

function defineInspect(wasmcloud: Command): void {
  const inspect = defineCommand(
    wasmcloud,
    'inspect <file>',
    'show the identity of a component, a provider, or another token of wasmCloud’s',
    'Of a signed .wasm file, a provider archive (.par, gzipped or not), a file with a token, or a token in place of the file; - ' +
      'is standard input. Tells whether the signature and the content are right, and the principal to name in grants. Whether ' +
      'the issuer is to be trusted is for a server to say. The exit status is 1 if something is wrong.',
  );
  act(addJsonOption(inspect), async (options, file) =>
    (await import('./wasmcloud/inspect.js')).inspect(file ?? '', options),
  );
  examples(
    inspect,
    'coffer wasmcloud inspect build/http_hello_s.wasm',
    'coffer wasmcloud inspect build/provider.par.gz --json | jq -r .principal',
  );
}

function definePermissions(wasmcloud: Command): void {
  const permissions = addQueueOption(
    addAddressOptions(
      defineCommand(
        wasmcloud,
        'permissions',
        'make NATS users for hosts, administrators and backends, with what each may do',
        'Makes an account in the store of "coffer identity", with a role and a user for each: host may ask for secrets, admin may ' +
          'also put them and edit mappings, backend alone may listen and answer. With --plain it writes a configuration for ' +
          'servers without an operator. What is there already stays, so that it can be run again.',
      ),
      { many: true },
    ),
    'wasmcloud_secrets, and what the subjects begin with, as backends of a configuration have it',
  )
    .option('--operator <name>', 'the operator (default: the current one)')
    .option('--account <name>', 'the account (default: WASMCLOUD-SECRETS)')
    .option(
      '--lattice <name>',
      'let the hosts of a lattice in this account ask, too: exports and imports what they ask',
    )
    .option(
      '--plain <file>',
      'write a server configuration with users by their keys, and their seeds beside it; --name all backends at once',
    )
    .option(
      '-F, --force',
      'with --plain: replace the file, also what it has for backends that are not named now; seeds that are there stay',
    )
    .option('--show', 'print what each role may do, and make nothing');
  addFolderOptions(addKeyOption(permissions, 'who signs the account: a key of the operator'));
  act(addJsonOption(permissions), async (options) =>
    (await import('./wasmcloud/permissions.js')).permissions(options),
  );
  examples(
    permissions,
    'coffer wasmcloud permissions --show',
    'coffer wasmcloud permissions --lattice PRODUCTION',
    'coffer wasmcloud permissions --name nats-kv --name vault --plain /etc/nats/secrets.conf',
  );
}
