import type { Command } from 'commander';
import { Failure } from './failure.js';

const byNsc = (what: string): string => `nsc does it, in the same store; coffer keeps ${what} as they are`;

/**
 * Commands of nsc's that are not here, by their names: whoever types one is told what to do instead, where the likeliest
 * spelling would be another command, and a wrong one. docs/moving-from-nsc.md has the same list.
 */
const INSTEAD: readonly (readonly [command: string, instead: string])[] = [
  [
    'init',
    '"coffer server init" makes an operator, an account and a user; "coffer identity add" each by itself',
  ],
  ['select', '"coffer identity env --operator NAME --account NAME" chooses what is current'],
  [
    'reissue',
    '"coffer identity rotate-signing-key --operator" replaces a signing key of the operator; its own key stays',
  ],
  ['fix', '"coffer identity validate" says what is wrong, "coffer identity import keys" brings keys in'],
  ['restore', '"coffer identity import keys" brings keys back, "coffer identity pull" accounts'],
  ['load', '"coffer identity add operator --url FILE" takes an operator’s token'],
  ['migrate', 'copy the folder of the account, "coffer identity import keys" brings its keys in'],
  ['tool', 'the program "nats" publishes and subscribes, with the same creds'],
  ['update', 'coffer is brought up to date as it was installed'],
  ['add mapping', byNsc('mappings')],
  ['delete mapping', byNsc('mappings')],
  ['edit export', '"coffer identity delete export", then "add export", with what it is to be'],
  ['edit authcallout', byNsc('authorization by callout')],
  ['generate profile', '"coffer identity generate creds" writes what a program needs'],
  ['generate diagram', '"coffer identity graph" draws who signed whom'],
  ['import account', '"coffer identity pull --account NAME" takes it from a nats-server'],
  [
    'import user',
    '"coffer identity add user --public-key KEY" makes a user with a key that is there already',
  ],
];

export function defineAbsent(identity: Command): void {
  for (const [line, instead] of INSTEAD) {
    const [first = '', second] = line.split(' ');
    const group = second === undefined ? identity : identity.commands.find((each) => each.name() === first);
    group
      ?.command(`${second ?? first} [rest...]`, { hidden: true })
      .helpOption(false)
      .allowUnknownOption()
      .action(() => {
        throw new Failure(`"${line}" of nsc’s is not here: ${instead}`);
      });
  }
}
