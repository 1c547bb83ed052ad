import type { Command } from 'commander';
import { act, addConnectionOptions, addJsonOption, defineCommand, examples } from './define.js';

/** Declares the commands on transit keys, which ask a coffer server over HTTP or its admin socket, and not NATS. */
export function defineTransitCommands(wasmcloud: Command): void {
  const commands = () => import('./wasmcloud/transit.js');
  const list = defineCommand(
    wasmcloud,
    'transit-keys',
    'list the keys that hosts seal their requests to',
    'Asks a coffer server, not NATS. The current key is what hosts are told, once in their life; the others are served until ' +
      'they are retired. When each was last used is known since the server began.',
  ).option('-n, --name <name>', 'of one backend (default: of all)');
  onServer(addJsonOption(list), async (options) => (await commands()).list(options));

  const rotate = defineCommand(
    wasmcloud,
    'rotate-transit',
    'make a new transit key, which hosts are told from now on',
    'While the server runs. Hosts that know an older key are served on, until you retire it.',
  ).option('-n, --name <name>', 'the name of the backend (default: nats-kv)');
  onServer(addJsonOption(rotate), async (options) => (await commands()).rotate(options));

  const retire = defineCommand(
    wasmcloud,
    'retire-transit <key>',
    'serve no more what is sealed to an older transit key, for good',
    'Hosts that know only that key get no secrets until they are started anew. Asks first, and says when the ' +
      'key was last used, which the server knows since it began.',
  )
    .option('-n, --name <name>', 'the name of the backend (default: nats-kv)')
    .option('--yes', 'do not ask');
  onServer(retire, async (options, key) => (await commands()).retire(key ?? '', options));
  examples(
    retire,
    'coffer wasmcloud rotate-transit',
    'coffer wasmcloud transit-keys            LAST USED shows whether hosts still use the old one',
    'coffer wasmcloud retire-transit XAD2G7F4CQQJHSFXKXOBWEHINS2CMN2K2FVKQU7NBPP4BMVYNUOHZWPX',
  );
}

/** Declares the commands on the keys with which a backend signs. */
export function defineSigningCommands(wasmcloud: Command): void {
  const commands = () => import('./wasmcloud/signing.js');
  const group = defineCommand(
    wasmcloud,
    'signing-keys',
    'list, rotate and retire the keys with which log-ins to Vault are signed',
    'Asks a coffer server, not NATS. Vault reads those of the backend NAME at /.well-known/keys/NAME of the server.',
  );
  const list = defineCommand(group, 'list', 'list the keys with which backends sign').option(
    '-n, --name <name>',
    'of one backend (default: of all)',
  );
  onServer(addJsonOption(list), async (options) => (await commands()).list(options));

  const rotate = defineCommand(
    group,
    'rotate',
    'make a new key to sign with',
    'While the server runs. It signs when all instances know it, after ten seconds; the older ones are believed until they are retired.',
  ).option('-n, --name <name>', 'the name of the backend (default: vault)');
  onServer(addJsonOption(rotate), async (options) => (await commands()).rotate(options));

  const retire = defineCommand(
    group,
    'retire <key>',
    'take an older key out of /.well-known/keys/NAME, for good',
    'A minute after the rotation it is of no use any more. If it has leaked, rotate it and retire it at once: log-ins fail until Vault has read the keys anew, for some seconds. Asks first.',
  )
    .option('-n, --name <name>', 'the name of the backend (default: vault)')
    .option('--yes', 'do not ask');
  onServer(retire, async (options, key) => (await commands()).retire(key ?? '', options));
  examples(
    retire,
    'coffer wasmcloud signing-keys rotate',
    'coffer wasmcloud signing-keys list',
    'coffer wasmcloud signing-keys retire NCEY2VVNMLGNCS2RJ54TJR7KHMTJMG6ESYQQHQHOMHVBB5MXFISNO5NV',
  );
}

/** Without `-s`, which is the subject base on the other commands of this group. */
function onServer(command: Command, run: Parameters<typeof act>[1]): Command {
  return act(addConnectionOptions(command, '--server <address>'), run);
}
