import type { Command } from 'commander';
import { actOnServer, addJsonOption, defineCommand, examples } from './define.js';
import { addNatsOptions, collect } from './define-wasmcloud-options.js';

/** Declares what brings many secrets in at once. Each command loads its code only when it runs. */
export function defineImportCommands(program: Command): void {
  const group = defineCommand(
    program,
    'import',
    'bring in secrets from files, or from where they are kept today',
  ).helpGroup('Using secrets:');
  defineFiles(group);
  defineSetec(group);
  defineVault(group);
  defineSecretsNatsKv(group);
}

const commands = () => import('./commands/import.js');

function defineFiles(group: Command): void {
  const env = addSaveOptions(
    defineCommand(
      group,
      'env <file>',
      'save each value of a .env file as a secret',
      `The secret is called as its key, with --prefix before it. ${AGAIN} Comments, "export ", single and double ` +
        'quotes, and values of several lines are understood; nothing is expanded: $NAME stays as it stands. A value ' +
        'without quotes ends before white space and a #. A key that stands twice is an error. - is standard input.',
    ),
  );
  actOnServer(env, async (options, file) => (await commands()).importEnv(file, options));
  examples(
    env,
    'coffer import env --prefix prod/billing/ --dry-run .env',
    'coffer import env --prefix prod/billing/ .env',
    'sops decrypt secrets.env | coffer import env --activate -',
  );

  const dir = addSaveOptions(
    defineCommand(
      group,
      'dir <path>',
      'save each file of a folder as a secret',
      'The secret is called as the file’s path in the folder, with --prefix before it, and holds its bytes as they ' +
        `are, a line feed at the end too. ${AGAIN} Links are followed to what lies in the folder. Names that begin ` +
        'with .. are skipped, so that a folder which Kubernetes makes of a secret can be read.',
    ),
  );
  actOnServer(dir, async (options, path) => (await commands()).importDir(path, options));
  examples(
    dir,
    'coffer import dir --prefix prod/tls/ --dry-run ./certificates',
    'coffer import dir --prefix prod/app/ /run/secrets',
  );
}

function defineSetec(group: Command): void {
  const setec = addReportOptions(
    defineCommand(
      group,
      'setec',
      'copy all secrets of a setec server, with their version numbers',
      'Every secret that the source shows, each version under its number. A secret that is new here has the same ' +
        'version active; of one that is here already the active version stays, unless --activate is given. -s, ' +
        '--token-file and --ca mean the server that takes the secrets, as everywhere; --from, --from-token-file and ' +
        '--from-ca the one that they come from. Without --from, "coffer import setec -s URL" reads the setec server ' +
        'at URL and writes to COFFER_SERVER. Nothing is written over: a version that has another value there is a ' +
        'failure, told at the end. To run it again copies what is missing. It needs the rights to info, get, ' +
        'create-version and activate, and put for secrets that are here already.',
    )
      .option('--from <url>', 'the setec server to read')
      .option(
        '--secrets <pattern>',
        'only secrets of such names; * stands for any characters; as often as you like',
        collect,
      )
      .option('--activate', 'make active what is so at the source, of secrets that are here already, too')
      .option('--from-token-file <file>', 'a file with the token for it, if it wants one')
      .option('--from-ca <file>', 'certificate authorities to trust for it (PEM)'),
  );
  actOnServer(setec, async (options) => (await commands()).importSetec(options));
  examples(
    setec,
    'coffer import setec --from https://secrets.tail1234.ts.net --dry-run',
    "coffer import setec --from https://secrets.tail1234.ts.net --secrets 'prod/billing/*' --activate",
    'coffer import setec --from https://secrets.tail1234.ts.net -s https://coffer.example.com --token-file admin.token',
  );
}

function defineVault(group: Command): void {
  const vault = addReportOptions(
    defineCommand(
      group,
      'vault',
      'copy the secrets of a KV mount of HashiCorp Vault, with their versions',
      'Every secret beneath the mount, in folders too, is a secret here: called as its path, with --prefix before it, and its data is ' +
        'the value, as a JSON object; with --entries each entry is a secret of its own. Of KV version 2 each version keeps its number, and the current one is active; a secret ' +
        'that is here already and whose newest version is active and came from there goes on to follow, of another the ' +
        'active version stays, unless --activate is given. Deleted and destroyed versions are left out, and a secret whose ' +
        'current version is one. KV version 1 has no versions: its values are saved as by "coffer import dir". Nothing is ' +
        'changed in Vault, and nothing written over here; to run it again copies what came since. It needs the rights to ' +
        'info, get, create-version, activate and put. -s, --token-file and --ca mean the server that takes the secrets, as everywhere.',
    )
      .option('--from <url>', 'the Vault to read (default: VAULT_ADDR)')
      .option('--mount <path>', 'where the secrets are mounted there (default: secret)')
      .option('--prefix <text>', 'what each secret’s name begins with here, such as prod/billing/')
      .option(
        '--secrets <pattern>',
        'only secrets of such paths; * stands for any characters; as often as you like',
        collect,
      )
      .option('--entries', 'make each entry of a secret a secret of its own, called PATH/ENTRY')
      .option('--activate', 'make active what is current there, of secrets that are here already, too')
      .option('--from-token-file <file>', 'a file with the token for it (default: VAULT_TOKEN)')
      .option('--from-role-id <id>', 'log in by this AppRole, in place of a token')
      .option('--from-secret-id-file <file>', 'a file with the secret id for the role')
      .option('--from-approle <path>', 'where AppRole is mounted (default: approle)')
      .option('--from-namespace <path>', 'the namespace, where there are some (default: VAULT_NAMESPACE)')
      .option('--from-ca <file>', 'certificate authorities to trust for it (PEM; default: VAULT_CACERT)'),
  );
  actOnServer(vault, async (options) => (await import('./commands/import-vault.js')).importVault(options));
  examples(
    vault,
    'coffer import vault --from https://vault.example.com:8200 --from-token-file ~/.vault-token --dry-run',
    "coffer import vault --mount kv --secrets 'billing/*' --prefix prod/ --entries",
    'coffer import vault --from-role-id 7d7e… --from-secret-id-file id --from-namespace team/a -s https://coffer.example.com',
  );
}

function defineSecretsNatsKv(group: Command): void {
  const kv = addReportOptions(
    addNatsOptions(
      defineCommand(
        group,
        'secrets-nats-kv',
        'copy all secrets of wasmCloud’s secrets-nats-kv, with their history, and its mappings',
        'Reads its two buckets in NATS, and changes nothing there. Each version keeps its number, which is the bucket’s revision, so that ' +
          'a manifest that names one goes on to mean the same; the newest is active, as it is there. A secret that is here already ' +
          'and whose newest version is active and came from there goes on to follow; of another the active version stays, unless ' +
          '--activate is given. Each mapping becomes a grant. Nothing is written over: a version that has another value here is a failure, told at ' +
          'the end. To run it again copies what is missing. It needs the rights to info, get, create-version and activate, and admin on ' +
          '* for the mappings. -s, --token-file, --creds and --ca mean the server that takes the secrets, as everywhere.',
      ),
    ),
  )
    .option(
      '-e, --encryption-xkey-seed <seed>',
      'the seed that the bucket is encrypted with; better in ENCRYPTION_XKEY_SEED',
    )
    .option('-b, --secrets-bucket <name>', 'the bucket of the secrets (default: WASMCLOUD_SECRETS)')
    .option(
      '-n, --name <name>',
      'the name of the backend, which its bucket of mappings has in its own (default: nats-kv)',
    )
    .option(
      '--mapping-account <key>',
      'the account (A…) whose components and providers the mappings are of, or self-issued',
    )
    .option('--no-mappings', 'copy secrets alone')
    .option(
      '--secrets <pattern>',
      'only secrets of such names; * stands for any characters; as often as you like',
      collect,
    )
    .option('--activate', 'make active what is newest there, of all secrets that are here already');
  actOnServer(kv, async (options) =>
    (await import('./commands/import-secrets-nats-kv.js')).importSecretsNatsKv(options),
  );
  examples(
    kv,
    'coffer import secrets-nats-kv --mapping-account A… --nats-creds-file backend.creds --dry-run',
    'coffer import secrets-nats-kv --mapping-account A… --nats-creds-file backend.creds -s unix:STATE/admin.sock',
    "coffer import secrets-nats-kv --no-mappings --secrets 'shop-*'",
  );
}

const AGAIN =
  'The first version of a secret is active; a changed value becomes a new version, which waits unless --activate is ' +
  'given; an equal one changes nothing, so that the command may be run again.';

function addSaveOptions(command: Command): Command {
  return addReportOptions(
    command
      .option('--prefix <text>', 'what each secret’s name begins with, such as prod/billing/')
      .option('--activate', 'make each value the active one'),
  );
}

function addReportOptions(command: Command): Command {
  return addJsonOption(command.option('--dry-run', 'say what would be done, without values, and do nothing'));
}
