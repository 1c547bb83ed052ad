import { type Command, Option } from 'commander';
import { act, defineCommand, examples } from './define.js';
import { collect } from './define-wasmcloud-options.js';
import { addTrustedOptions } from './define-wasmcloud-run.js';

/** Declares the servers that take the place of secrets-vault and of secrets-kubernetes. */
export function defineDropIns(wasmcloud: Command): void {
  defineVault(wasmcloud);
  defineKube(wasmcloud);
}

function defineVault(wasmcloud: Command): void {
  const command = defineCommand(
    wasmcloud,
    'vault',
    'serve secrets of a Vault to wasmCloud hosts over NATS',
    'In place of "secrets-vault", whose flags and variables (SV_…) it takes. It is "coffer server" with one backend of kind vault, ' +
      'and without coffer’s own store; Vault alone decides who gets what, unless --grants required.',
  )
    .option('--vault-address <url>', 'where Vault is: https://HOST:PORT (SV_VAULT_ADDRESS)')
    .option('--vault-ca <file>', 'certificate authorities to trust (PEM) in place of the system’s')
    .option(
      '--vault-auth-method <path>',
      'where the JWT auth method is mounted (SV_VAULT_AUTH_METHOD; default: jwt)',
    )
    .option('--jwt-auth-audience <name>', 'claim aud of log-ins (SV_JWT_AUTH_AUDIENCE; default: Vault)')
    .option(
      '--vault-default-secret-engine <path>',
      'for policies that name none (SV_VAULT_DEFAULT_SECRET_ENGINE; default: secret)',
    )
    .option('--vault-default-namespace <name>', 'for policies that name none (SV_VAULT_DEFAULT_NAMESPACE)')
    .option(
      '--jwks-address <host:port>',
      'where Vault reads the keys, in clear (SV_JWKS_ADDRESS; default: none)',
    )
    .option(
      '--server-nkey-seed <seed>',
      'sign log-ins with this key; better in SV_SERVER_NKEY_SEED (default: one is made and kept)',
    )
    .option(
      '--server-xkey-seed <seed>',
      'take this seed’s key for the transit key; better in SV_SERVER_XKEY_SEED',
    )
    .option(
      '--secrets-prefix <subject>',
      'what the subjects begin with (SV_SECRETS_PREFIX; default: wasmcloud.secrets)',
    )
    .option('--secrets-service-name <name>', 'the name of the backend (SV_SERVICE_NAME; default: vault)')
    .option(
      '--application-host <key>',
      'believe what this host (N…), or those that this key (C… or A…) signs for, say of applications; as often as you like',
      collect,
    );
  for (const [flags, description] of [
    ['--nats-address <address>', 'HOST:PORT, or a URL (SV_NATS_ADDRESS; default: 127.0.0.1:4222)'],
    ['--nats-jwt <token>', 'of a user (SV_NATS_JWT), with --nats-seed'],
    ['--nats-seed <seed>', 'its seed; better in SV_NATS_SEED'],
    ['--nats-creds-file <file>', 'a creds file in their place (default: NATS_CREDSFILE)'],
    ['--nats-ca <file>', 'certificate authorities to trust (PEM) in place of the system’s'],
  ] as const) {
    command.addOption(new Option(flags, description).helpGroup('NATS:'));
  }
  act(addPlaceOptions(command), async (options) => (await import('./wasmcloud/vault.js')).vault(options));
  examples(
    command,
    'coffer wasmcloud vault --vault-address https://vault.example.com:8200 --jwks-address 10.0.0.5:8080 --trusted-account A… --nats-creds-file backend.creds',
  );
}

function defineKube(wasmcloud: Command): void {
  const command = defineCommand(
    wasmcloud,
    'kube',
    'serve Secrets of a Kubernetes cluster to wasmCloud hosts over NATS',
    'In place of "secrets-kubernetes", whose flags it takes, and the variables of its deployment. It is "coffer server" with one backend of kind kubernetes, and without ' +
      'coffer’s own store. A policy may name only whom --allow-user and --allow-service-account let it; a configuration file can say ' +
      'for which applications and components.',
  )
    .option(
      '--backend-seed <seed>',
      'take this seed’s key for the transit key; better in BACKEND_SEED (default: one is made and kept in the store)',
    )
    .option('--secrets-prefix <subject>', 'what the subjects begin with (default: wasmcloud.secrets)')
    .option('-n, --name <name>', 'the name of the backend (default: kube)')
    .option(
      '--kubeconfig <file>',
      'default: in a cluster the pod’s service account, elsewhere KUBECONFIG or ~/.kube/config',
    )
    .option(
      '--namespace <name>',
      'where Secrets are whose policy names none, and all that --direct reads (default: default)',
    )
    .option('--allow-user <pattern>', 'users that policies may impersonate; as often as you like', collect)
    .option(
      '--allow-service-account <namespace/name>',
      'service accounts that they may, too; as often as you like',
      collect,
    )
    .option('--direct', 'where a policy names nobody, read with coffer’s own rights');
  for (const [flags, description] of [
    ['--nats-url <url>', 'of NATS (NATS_URL; default: 127.0.0.1:4222)'],
    ['--nats-address <address>', 'the same, as it is called elsewhere'],
    ['--nats-creds <file>', 'a creds file (default: NATS_CREDSFILE)'],
    ['--nats-creds-file <file>', 'the same, as it is called elsewhere'],
    ['--nats-ca <file>', 'certificate authorities to trust (PEM) in place of the system’s'],
  ] as const) {
    command.addOption(new Option(flags, description).helpGroup('NATS:'));
  }
  act(addPlaceOptions(command), async (options) => (await import('./wasmcloud/kube.js')).kube(options));
  examples(
    command,
    'coffer wasmcloud kube --allow-user "shop-*" --trusted-account A… --nats-creds backend.creds',
  );
}

function addPlaceOptions(command: Command): Command {
  return addTrustedOptions(command)
    .addOption(
      new Option('--grants <how>', 'required: a grant is needed as well (default: upstream)').choices([
        'required',
        'upstream',
      ]),
    )
    .option('--state-dir <dir>', 'where the store and the audit log are (default: ~/.local/state/coffer)')
    .option('--root-key <spec>', 'where the root key is, as for "coffer server"')
    .option('--listen <host:port>', 'serve HTTP there, too (default: none)')
    .option('--config <file>', 'a configuration file (YAML), behind these flags')
    .option(
      '--accept-rollback',
      'start although the store or the audit log was put back to an earlier state; the log will say so',
    );
}
