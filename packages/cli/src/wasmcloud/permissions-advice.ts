import { resolve } from 'node:path';
import type { BackendAddress } from '@coffer/wasmcloud';
import { displayName } from '../quote.js';
import { commandFor, shellWord } from '../welcome.js';
import { DEFAULT_NAME, DEFAULT_PREFIX } from './address.js';
import type { PermissionsOptions } from './permissions.js';
import type { MadeIdentities } from './permissions-identities.js';
import { subjectsOfHosts } from './roles.js';

const HERE = commandFor('http://127.0.0.1:2633');

/** What to type when the identities are made. */
export function adviceOnIdentities(
  { account, users, store }: MadeIdentities,
  options: PermissionsOptions & { readonly addresses: readonly Required<BackendAddress>[] },
): string {
  const creds = (role: string) => users[role]?.creds ?? `${role}.creds`;
  const folders = foldersOf(options);
  const own = whichBackend(ownStoreOf(options.addresses));
  const name = shellWord(account.name);
  return [
    '',
    'Type next, so that nats-servers know of it; URL is one of theirs, and may be left out where the operator names it (or use',
    '"identity generate config" for those without a resolver of their own):',
    `  ${HERE(`identity push --account ${name} -u URL${folders}`)}`,
    ...(options.lattice === undefined
      ? []
      : [`  ${HERE(`identity push --account ${shellWord(options.lattice)} -u URL${folders}`)}`]),
    ...adviceOnBackends(options.addresses, { creds: creds('backend') }),
    'Serve with the creds of the backend, trust the operator, for what administrators sign, and the account that signs your components:',
    `  ${HERE(`wasmcloud run${own} --nats-creds-file ${shellWord(creds('backend'))} --trust-store ${shellWord(store)} --trusted-account A… --mapping-account A…`)}`,
    'Administer with those of admin:',
    `  ${HERE(`wasmcloud put NAME${own} --nats-creds-file ${shellWord(creds('admin'))}`)}`,
    'What is signed with them (--sign, get, list-mappings), grants decide; give them one in the policy. Without get they read no',
    'values, and without admin they edit and list no mappings; other names than * narrow all of it:',
    `  {to: ["nats:${account.key}/${users.admin?.key}"], actions: [put, activate, get, admin], secrets: ["*"]}`,
    `Another user, such as one for each host: ${HERE(`identity add user --account ${name} -K host${folders} NAME`)}`,
    ...(options.lattice === undefined ? adviceOnLattices(name, options.addresses, folders) : []),
  ].join('\n');
}

/** The one of them that can be coffer's own store: that of its usual name, else the first. */
export const ownStoreOf = (addresses: readonly Required<BackendAddress>[]): BackendAddress =>
  addresses.find(({ name }) => name === DEFAULT_NAME) ?? addresses[0] ?? { name: DEFAULT_NAME };

/** Of those whose secrets lie elsewhere, as their names let expect: they are run by no command of their own, and nothing is put there. */
export function adviceOnBackends(
  addresses: readonly Required<BackendAddress>[],
  credentials: { readonly creds: string } | { readonly nkey: string },
): string[] {
  const others = addresses.filter(({ name }) => name !== DEFAULT_NAME);
  if (others.length === 0) return [];
  const [[setting = '', path = ''] = []] = Object.entries(credentials);
  const names = others.map(({ name }) => displayName(name)).join(', ');
  return [
    `Serve ${names} by a server that has ${others.length === 1 ? 'it' : 'them'} in the backends of its configuration, and there`,
    `  nats: {servers: [URL], ${setting}: ${JSON.stringify(resolve(path))}}`,
    others.length === addresses.length
      ? 'Or, if it is coffer’s own store that is called so:'
      : 'And coffer’s own store by the same server, or by one for itself (whoever has these credentials may serve each of them):',
  ];
}

/** A host has one connection for its lattice and for secrets. */
function adviceOnLattices(
  account: string,
  addresses: readonly Required<BackendAddress>[],
  folders: string,
): string[] {
  return [
    '',
    'A host asks for secrets over the connection by which its lattice controls it, so that the creds of host are enough for what is',
    'no host alone. Of a lattice in another account of this operator:',
    `  ${HERE(`wasmcloud permissions --account ${account} --lattice ACCOUNT${whichBackends(addresses)}${folders}`)}`,
    `Its hosts, and nobody else there, should then be allowed to publish to`,
    ...addresses.flatMap(subjectsOfHosts).map((subject) => `  ${subject}`),
  ];
}

/** The options that name the backend, where it is not the default one. */
export const whichBackend = ({ prefix = DEFAULT_PREFIX, name = DEFAULT_NAME }: BackendAddress): string =>
  [
    name === DEFAULT_NAME ? '' : ` -n ${shellWord(name)}`,
    prefix === DEFAULT_PREFIX ? '' : ` -s ${shellWord(prefix)}`,
  ].join('');

/** The options that name all of them. */
function whichBackends(addresses: readonly Required<BackendAddress>[]): string {
  const [first, ...others] = addresses;
  if (first === undefined || others.length === 0) return whichBackend(ownStoreOf(addresses));
  const names = addresses.map(({ name }) => ` -n ${shellWord(name)}`).join('');
  return names + whichBackend({ ...first, name: DEFAULT_NAME });
}

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
