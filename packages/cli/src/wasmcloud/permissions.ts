import { Failure } from '../failure.js';
import type { StoreOptions } from '../identity/workplace.js';
import { print, printJson } from '../output.js';
import { type AddressOptions, addressOf, queueGroupsOf } from './address.js';
import { ANSWER_SECONDS, type Role, rolesOf, type Served } from './roles.js';

/** `coffer wasmcloud permissions`: who may publish and subscribe on the subjects of backends, made so on NATS servers. */

export type PermissionsOptions = Omit<AddressOptions, 'name'> &
  StoreOptions & {
    readonly name?: readonly string[];
    readonly operator?: string;
    readonly account?: string;
    readonly lattice?: string;
    readonly plain?: string;
    readonly force?: boolean;
    readonly show?: boolean;
    readonly json?: boolean;
  };

export async function permissions(options: PermissionsOptions): Promise<void> {
  const { show, plain, operator, lattice, json } = options;
  if (plain !== undefined && (operator ?? lattice) !== undefined) {
    throw new Failure('--plain is for servers without an operator: leave --operator and --lattice out');
  }
  const backends = backendsOf(options);
  const addresses = backends.map(({ address }) => address);
  const roles = rolesOf(backends);
  if (show) return showRoles(roles, json);
  if (plain !== undefined) {
    const { writePlain } = await import('./permissions-plain.js');
    return writePlain(plain, { roles, ...options, addresses });
  }
  const { makeIdentities } = await import('./permissions-identities.js');
  return makeIdentities({ roles, addresses, ...options });
}

/** Each once, in the order in which they were named; the default one where none is. */
function backendsOf({ name: names, ...options }: PermissionsOptions): readonly Served[] {
  const which: readonly AddressOptions[] =
    names === undefined ? [options] : [...new Set(names)].map((name) => ({ ...options, name }));
  return which.map((one) => ({ address: addressOf(one), queueGroups: queueGroupsOf(one) }));
}

async function showRoles(roles: readonly Role[], json: boolean | undefined): Promise<void> {
  if (json) return printJson(Object.fromEntries(roles.map(({ name, ...may }) => [name, may])));
  const lines = roles.flatMap(({ name, publish, subscribe, answers }) => [
    `${name}:`,
    ...publish.map((subject) => `  publish    ${subject}`),
    ...subscribe.map((subject) => `  subscribe  ${subject}`),
    ...(answers
      ? [`  answer     each request once, within ${ANSWER_SECONDS} s, and publish nothing else`]
      : []),
  ]);
  await print(lines.join('\n'));
}
