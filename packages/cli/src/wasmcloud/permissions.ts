import { Failure } from '../failure.js';
import type { StoreOptions } from '../identity/workplace.js';
import { print, printJson } from '../output.js';
import { type AddressOptions, addressOf, queueGroupOf } from './address.js';
import { ANSWER_SECONDS, type Role, rolesOf } from './roles.js';

/** `coffer wasmcloud permissions`: who may publish and subscribe on a backend's subjects, made so on NATS servers. */

export type PermissionsOptions = AddressOptions &
  StoreOptions & {
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
  const address = addressOf(options);
  const roles = rolesOf(address, queueGroupOf(options));
  if (show) return showRoles(roles, json);
  if (plain !== undefined) {
    const { writePlain } = await import('./permissions-plain.js');
    return writePlain(plain, { roles, ...options, address });
  }
  const { makeIdentities } = await import('./permissions-identities.js');
  return makeIdentities({ roles, address, ...options });
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
