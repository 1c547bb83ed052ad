import { type BackendAddress, operationSubject } from '@coffer/wasmcloud';
import { commandFor, shellWord } from '../welcome.js';
import { DEFAULT_NAME, DEFAULT_PREFIX } from './address.js';
import type { PermissionsOptions } from './permissions.js';
import type { MadeIdentities } from './permissions-identities.js';

const HERE = commandFor('http://127.0.0.1:2633');

/** What to type when the identities are made. */
export function adviceOnIdentities(
  { account, users, store }: MadeIdentities,
  options: PermissionsOptions & { readonly address: Required<BackendAddress> },
): string {
  const creds = (role: string) => shellWord(users[role]?.creds ?? `${role}.creds`);
  const folders = foldersOf(options);
  const which = whichBackend(options.address);
  const name = shellWord(account.name);
  return [
    '',
    'Type next, so that nats-servers know of it; URL is one of theirs, and may be left out where the operator names it (or use',
    '"identity generate config" for those without a resolver of their own):',
    `  ${HERE(`identity push --account ${name} -u URL${folders}`)}`,
    ...(options.lattice === undefined
      ? []
      : [`  ${HERE(`identity push --account ${shellWord(options.lattice)} -u URL${folders}`)}`]),
    'Serve with the creds of the backend, trust the operator, for what administrators sign, and the account that signs your components:',
    `  ${HERE(`wasmcloud run${which} --nats-creds-file ${creds('backend')} --trust-store ${shellWord(store)} --trusted-account A… --mapping-account A…`)}`,
    'Administer with those of admin:',
    `  ${HERE(`wasmcloud put NAME${which} --nats-creds-file ${creds('admin')}`)}`,
    'What is signed with them (--sign, get, list-mappings), grants decide; give them one in the policy. Without get they read no',
    'values, and without admin they edit and list no mappings; other names than * narrow all of it:',
    `  {to: ["nats:${account.key}/${users.admin?.key}"], actions: [put, activate, get, admin], secrets: ["*"]}`,
    `Another user, such as one for each host: ${HERE(`identity add user --account ${name} -K host${folders} NAME`)}`,
    ...(options.lattice === undefined ? adviceOnLattices(name, options.address, which + folders) : []),
  ].join('\n');
}

/** A host has one connection for its lattice and for secrets. */
function adviceOnLattices(account: string, address: Required<BackendAddress>, folders: string): string[] {
  return [
    '',
    'A host asks for secrets over the connection by which its lattice controls it, so that the creds of host are enough for what is',
    'no host alone. Of a lattice in another account of this operator:',
    `  ${HERE(`wasmcloud permissions --account ${account} --lattice ACCOUNT${folders}`)}`,
    `Its hosts, and nobody else there, should then be allowed to publish to`,
    `  ${operationSubject(address, 'get')}`,
    `  ${operationSubject(address, 'server_xkey')}`,
  ];
}

/** The options that name the backend, where it is not the default one. */
export const whichBackend = ({ prefix = DEFAULT_PREFIX, name = DEFAULT_NAME }: BackendAddress): string =>
  [
    name === DEFAULT_NAME ? '' : ` -n ${shellWord(name)}`,
    prefix === DEFAULT_PREFIX ? '' : ` -s ${shellWord(prefix)}`,
  ].join('');

/** The options of the store, as they were given. */
function foldersOf({ allDirs, dataDir, keystoreDir, configDir }: PermissionsOptions): string {
  const given: readonly (readonly [flag: string, value: string | undefined])[] = [
    ['--all-dirs', allDirs],
    ['--data-dir', dataDir],
    ['--keystore-dir', keystoreDir],
    ['--config-dir', configDir],
  ];
  return given.map(([flag, value]) => (value === undefined ? '' : ` ${flag} ${shellWord(value)}`)).join('');
}
