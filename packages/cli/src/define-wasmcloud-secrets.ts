import { type Command, Option } from 'commander';
import { act, addJsonOption, defineCommand, examples } from './define.js';
import { addAddressOptions, addNatsOptions, collect } from './define-wasmcloud-options.js';

/** Declares what administers a backend over NATS, and asks it for secrets. */
export function defineWasmcloudSecrets(wasmcloud: Command): void {
  definePut(wasmcloud);
  defineGet(wasmcloud);
  defineMappings(wasmcloud);
}

function definePut(wasmcloud: Command): void {
  const put = addBackendOptions(
    defineCommand(
      wasmcloud,
      'put <secret>',
      'put a value into a backend, where it is the current one at once',
      'Without --string and --binary the value is that of SECRET_STRING_VALUE, or what the file of SECRET_BINARY_FILE holds, or ' +
        'it is read from standard input or, on a terminal, asked for twice and not shown: then text is a string, and anything ' +
        'else binary. A component gets a string or bytes, as it was put.',
    ),
  )
    .option(
      '--string <value>',
      'this text, which others on this machine can see; - reads it from standard input',
    )
    .option('--binary <file>', 'the bytes of this file; - is standard input')
    .option('--secret-version <n>', 'passed over: the backend numbers versions itself')
    .option('--empty-ok', 'allow an empty value, where it is asked for or read')
    .option('--verbatim', 'keep white space at the ends of a text that is asked for or read')
    .option('--trim-space', 'remove white space from the ends of a text that is asked for or read');
  act(addJsonOption(put), async (options, secret) =>
    (await import('./wasmcloud/put.js')).put(secret ?? '', options),
  );
  examples(
    put,
    'coffer wasmcloud put db-password                           asks for the value',
    'SECRET_STRING_VALUE=… coffer wasmcloud put db-password',
    'coffer wasmcloud put tls-key --binary tls.key --nats-creds-file admin.creds',
  );
}

function defineGet(wasmcloud: Command): void {
  const get = addBackendOptions(
    defineCommand(
      wasmcloud,
      'get <secret>',
      'print the value of a secret of a backend',
      'Prints the bytes alone; on a terminal a line feed follows them. Of coffer’s own store you get what a grant lets you read: the ' +
        'request is signed with your creds, whose operator the server must trust. With --as the backend of that name, of whatever ' +
        'kind, is asked as a host would for that component or provider: to find out why one does not get its secret.',
    ),
  )
    .option('--secret-version <n>', 'this version in place of the current one')
    .option('--field <name>', 'one entry of a secret that is a JSON object')
    .addOption(new Option('--kind <kind>', 'fail unless it is of this kind').choices(['string', 'binary']))
    .option('--as <file>', 'ask as a host, for this .wasm file, provider archive or token')
    .option(
      '--host-jwt <file>',
      'with --as: the host’s token (default: one made for the purpose, as stock hosts do)',
    )
    .option('--application <name>', 'with --as: the application that the host says it is for')
    .option('--policy <json>', 'with --as: the properties of the policy in its manifest, as a JSON object')
    .addOption(new Option('-e, --encryption-xkey-seed <seed>', 'passed over').hideHelp())
    .addOption(new Option('-b, --secrets-bucket <name>', 'passed over').hideHelp());
  act(addJsonOption(get), async (options, secret) =>
    (await import('./wasmcloud/get.js')).get(secret ?? '', options),
  );
  examples(
    get,
    'coffer wasmcloud get db-password --nats-creds-file admin.creds',
    'coffer wasmcloud get db --field password --secret-version 3 --creds admin.creds',
    'coffer wasmcloud get db-password --as build/http_hello_s.wasm --nats-creds-file host.creds',
    'coffer wasmcloud get db -n kube --as build/http_hello_s.wasm --policy \'{"impersonate":"reader"}\'',
  );
}

function defineMappings(wasmcloud: Command): void {
  const commands = () => import('./wasmcloud/mappings.js');
  const add = addSecretOption(
    addBackendOptions(
      defineCommand(
        wasmcloud,
        'add-mapping <key>',
        'let a component or a provider have secrets',
        'By its public key (M… or V…), under the account that the backend maps to; "coffer wasmcloud inspect" shows the key.',
      ),
    ),
  );
  act(addJsonOption(add), async (options, key) => (await commands()).addMapping(key ?? '', options));
  examples(add, 'coffer wasmcloud add-mapping MAVC… --secret db-password --secret api-key');

  const remove = addSecretOption(
    addBackendOptions(
      defineCommand(
        wasmcloud,
        'remove-mapping <key>',
        'no longer let a component or a provider have secrets',
        'Fails if another grant in the policy still lets it have one of them.',
      ),
    ),
  );
  act(addJsonOption(remove), async (options, key) => (await commands()).removeMapping(key ?? '', options));
  examples(remove, 'coffer wasmcloud remove-mapping MAVC… --secret db-password');

  const list = addBackendOptions(
    defineCommand(
      wasmcloud,
      'list-mappings [key]',
      'show which components and providers are mapped to which secrets, all or one',
    ),
  );
  act(addJsonOption(list), async (options, key) => (await commands()).listMappings(key, options));
  examples(list, 'coffer wasmcloud list-mappings', 'coffer wasmcloud list-mappings MAVC… --json');
}

const addSecretOption = (command: Command): Command =>
  command.option('--secret <name>', 'a secret; as often as you like', collect);

/** How a backend is asked, and as whom. */
function addBackendOptions(command: Command): Command {
  return addNatsOptions(addAddressOptions(command))
    .option(
      '-t, --transit-xkey-seed <key>',
      'the backend’s transit key, public or its seed (default: TRANSIT_XKEY_SEED, or the backend is asked)',
    )
    .option(
      '--creds <file>',
      'sign the request with these creds (default: COFFER_CREDS), so that grants decide; NATS is shown them where no others are named',
    )
    .option('--sign', 'sign it with the creds for NATS; "get" and "list-mappings" do so of themselves')
    .option('--unsigned', 'do not sign it: NATS alone decides, by who may publish there');
}
