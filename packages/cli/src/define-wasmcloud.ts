import type { Command } from 'commander';
import { act, addJsonOption, defineCommand, examples } from './define.js';

/** Declares the commands on wasmCloud's secrets. Each loads its code only when it runs. */
export function defineWasmcloudCommands(program: Command): void {
  const wasmcloud = defineCommand(
    program,
    'wasmcloud',
    'serve secrets to wasmCloud hosts over NATS, and administer them there',
    'The commands of secrets-nats-kv, with its arguments, options and environment, and more.',
  ).helpGroup('wasmCloud:');
  defineInspect(wasmcloud);
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
