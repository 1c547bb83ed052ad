import { IdentityError } from '../errors.js';
import { checkName } from '../store/names.js';
import { decodeAccount, decodeOperator } from '../tokens/jwt.js';

/**
 * Configuration for nats-server in operator mode: whom it trusts, and where it finds the tokens of accounts.
 *
 * Source: nats-server's configuration (`operator`, `system_account`, `resolver`, `resolver_preload`); the memory resolver's is
 * laid out byte for byte as nsc does.
 */

/** The tokens that a configuration is made of. */
export interface ServerTokens {
  readonly operator: string;
  readonly accounts: readonly string[];
  /** Its key, if it is another than the operator names, or the operator names none. */
  readonly systemAccount?: string | undefined;
}

/** With all tokens in the configuration itself. */
export function memoryResolverConfig(tokens: ServerTokens): string {
  const { operator, systemAccount, accounts } = read(tokens);
  return [
    `// Operator ${quoted(operator.name)}`,
    `operator: ${operator.text}`,
    '',
    ...(systemAccount ? [`system_account: ${systemAccount}`, ''] : []),
    'resolver: MEMORY',
    '',
    'resolver_preload: {',
    ...accounts.flatMap(({ key, name, text }) => [`  // Account ${quoted(name)}`, `  ${key}: ${text}`, '']),
    '}',
    '',
  ].join('\n');
}

/** The same as `resolver.conf`, and each token in a file of its own, for whoever wants them so. */
export function memoryResolverFolder(tokens: ServerTokens): ReadonlyMap<string, string> {
  const { operator, accounts } = read(tokens);
  return new Map([
    ...[operator, ...accounts].map(({ name, text }): [string, string] => [
      `${checkName(name, 'a file')}.jwt`,
      text,
    ]),
    ['resolver.conf', memoryResolverConfig(tokens)],
  ]);
}

/**
 * With nats-server's own resolver of type `full`, into which accounts are pushed.
 *
 * @throws IdentityError `invalid_claims` without a system account among `accounts`
 */
export function fullResolverConfig(tokens: ServerTokens): string {
  const { operator, systemAccount, accounts } = read(tokens);
  const system = accounts.find(({ key }) => key === systemAccount);
  if (!system) {
    throw new IdentityError(
      'invalid_claims',
      'this needs a system account, whose users push: name one by --sys-account, or for good with ' +
        '"edit operator --system-account"',
    );
  }
  return `# Operator ${quoted(operator.name)}
operator: ${operator.text}
# System account ${quoted(system.name)}
system_account: ${system.key}

resolver {
    type: full
    # Where the accounts’ tokens are kept; relative to where nats-server starts.
    dir: './jwt'
    # "push --prune" needs true.
    allow_delete: false
    # How often servers of a cluster compare what they have.
    interval: "2m"
    # How long another server is waited for that may have an account that is not here.
    timeout: "1.9s"
}

# So that the system account is there before anything was pushed; a newer one that is pushed counts.
resolver_preload: {
  ${system.key}: ${system.text},
}
`;
}

function read({ operator, accounts, systemAccount }: ServerTokens) {
  const { sub, name = '', nats } = decodeOperator(operator).claims;
  return {
    operator: { key: sub, name, text: operator },
    systemAccount: systemAccount ?? (nats.system_account || undefined),
    accounts: accounts
      .map((text) => {
        const claims = decodeAccount(text).claims;
        return { key: claims.sub, name: claims.name ?? '', text };
      })
      .sort((a, b) => (a.key < b.key ? -1 : 1)),
  };
}

/** As Go's `%q` for what is printable. */
const quoted = (name: string): string => JSON.stringify(name);
