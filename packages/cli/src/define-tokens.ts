import type { Command } from 'commander';
import { act, actOnServer, addJsonOption, addProofOptions, defineCommand, examples } from './define.js';

/** Declares what makes credentials: tokens, which a server keeps, and proofs, of which none is asked. */
export function defineTokenCommands(program: Command): void {
  const commands = () => import('./commands/token.js');
  const token = defineCommand(
    program,
    'token',
    'make, list and revoke bearer tokens; make a proof from a creds file',
  ).helpGroup('Administration:');

  const create = defineCommand(
    token,
    'create <name>',
    'make a token',
    'The name is for people’s eyes, such as ci or alice-laptop. The token alone goes to standard output, this ' +
      'once. It may do nothing until the policy grants something to its principal.',
  ).option('--expires <duration>', 'such as 30d, 12h, 8w (default: never)');
  actOnServer(addJsonOption(create), async (options, name) => (await commands()).create(name, options));
  examples(create, 'coffer token create ci --expires 30d > ci.token', 'coffer token create --json ci');

  const list = defineCommand(token, 'list', 'list tokens, revoked and expired ones too');
  actOnServer(addJsonOption(list), async (options) => (await commands()).list(options));

  const revoke = defineCommand(token, 'revoke <id>', 'revoke a token, at once and for good');
  actOnServer(addJsonOption(revoke), async (options, id) => (await commands()).revoke(id, options));

  defineMint(token);
}

function defineMint(token: Command): void {
  const mint = defineCommand(
    token,
    'mint',
    'make a proof of who you are from a NATS creds file',
    'A proof stands in place of a token in a request that is sent by other means, as by curl: "Authorization: Bearer ' +
      'PROOF". It is good for a minute. Without --for it is enough to read; a change needs one that is made for it, and ' +
      'that counts once. No server is asked.',
  )
    .option('--for <request>', 'the method and path of a change, as "POST /api/put"')
    .option('--body <file>', 'the body that will be sent, to the byte; - is standard input (default: none)')
    .option('--id <id>', 'the change’s operation id (default: a random one)')
    .option('--expires <duration>', 'at most 60s (default: 60s)');
  act(addJsonOption(addProofOptions(mint)), async (options) =>
    (await import('./commands/token-mint.js')).mint(options),
  );
  examples(
    mint,
    'curl -H "Authorization: Bearer $(coffer token mint --creds alice.creds -s $URL)" …',
    "coffer token mint --creds alice.creds -s $URL --for 'POST /api/put' --body put.json",
  );
}
