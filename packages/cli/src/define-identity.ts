import type { Command } from 'commander';
import { defineCommand } from './define.js';
import { defineAbsent } from './define-identity-absent.js';
import { defineIdentityOperate } from './define-identity-operate.js';
import { defineIdentityRevoke } from './define-identity-revoke.js';
import { defineIdentityStore } from './define-identity-store.js';

/** Declares the commands on identities: operators, accounts, users, their keys and tokens, and who is trusted no more. */
export function defineIdentityCommands(program: Command): void {
  const identity = defineCommand(
    program,
    'identity',
    'make, show, rotate and revoke NATS identities',
    'Operators, accounts and users, in the folders and with the commands that users of nsc know.',
  ).helpGroup('Identities:');
  defineIdentityStore(identity);
  defineIdentityOperate(identity);
  defineIdentityRevoke(identity);
  defineAbsent(identity);
}
