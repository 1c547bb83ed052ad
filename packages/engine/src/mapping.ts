import { CofferError } from './errors.js';
import { canonical, type Grant } from './grant.js';
import { checkName, type Limits } from './names.js';
import { ENTRIES_PER_LIST, matches } from './patterns.js';

/** What is mapped: names of secrets to a component or provider. */
export interface MappingRequest {
  /** Its principal. */
  readonly entity: string;
  /** Sorted, without repetitions. */
  readonly names: readonly string[];
}

const KEY = '[A-Z2-7]{55}';
const ENTITY = new RegExp(
  `^(component:(A${KEY}|self-issued)/M${KEY}|provider:(A${KEY}|self-issued)/V${KEY})$`,
);

/** All names of a request together, in bytes: they stand in one line of the audit log. */
const NAMES_BYTES = 64 * 1024;

/**
 * @throws CofferError `invalid_argument` if it is no component's or provider's principal, or there are no names, or too many, or
 *   one is a pattern; `invalid_name`, `name_too_long`
 */
export function checkMapping(entity: string, names: readonly string[], limits: Limits): MappingRequest {
  // Who may map need not be an administrator, and so gives nothing to anybody else.
  if (!ENTITY.test(entity)) {
    throw new CofferError(
      'invalid_argument',
      'secrets are mapped to component:ACCOUNT/KEY or provider:ACCOUNT/KEY, with public keys',
    );
  }
  if (names.length === 0 || names.length > ENTRIES_PER_LIST) {
    throw new CofferError('invalid_argument', `name 1 to ${ENTRIES_PER_LIST} secrets at a time`);
  }
  for (const name of names) {
    checkName(name, limits);
    if (name.includes('*')) {
      throw new CofferError(
        'invalid_argument',
        'a * would stand for any run of characters, and so for many secrets: name each of them',
      );
    }
  }
  if (names.reduce((sum, name) => sum + Buffer.byteLength(name), 0) > NAMES_BYTES) {
    throw new CofferError(
      'invalid_argument',
      `the names have more than ${NAMES_BYTES} bytes together: map them in several steps`,
    );
  }
  return { entity, names: [...new Set(names)].sort() };
}

/** Whose mapping a grant is; undefined if it is none. */
export function mappedBy({ to, actions, secrets, when }: Grant): string | undefined {
  const [entity = ''] = to;
  const isMapping =
    to.length === 1 &&
    ENTITY.test(entity) &&
    actions.length === 1 &&
    actions[0] === 'get' &&
    when === undefined &&
    !secrets.some((name) => name.includes('*'));
  return isMapping ? entity : undefined;
}

/** An entity's mappings with these names besides: as few grants as hold them, and those that are full as they are. */
export function withNames(own: readonly Grant[], { entity, names }: MappingRequest): readonly Grant[] {
  const mapped = new Set(own.flatMap(({ secrets }) => secrets));
  const missing = names.filter((name) => !mapped.has(name));
  if (missing.length === 0) return own;
  const full = own.filter(({ secrets }) => secrets.length === ENTRIES_PER_LIST);
  const open = own.filter((grant) => !full.includes(grant)).flatMap(({ secrets }) => secrets);
  const rest = [...new Set([...open, ...missing])].sort();
  const grants: Grant[] = [];
  for (let start = 0; start < rest.length; start += ENTRIES_PER_LIST) {
    grants.push(mappingOf(entity, rest.slice(start, start + ENTRIES_PER_LIST)));
  }
  return [...full, ...grants];
}

/** An entity's mappings without these names. */
export function withoutNames(own: readonly Grant[], { entity, names }: MappingRequest): readonly Grant[] {
  const gone = new Set(names);
  return own.flatMap((grant) => {
    const left = grant.secrets.filter((name) => !gone.has(name));
    return left.length > 0 ? mappingOf(entity, left) : [];
  });
}

/** A sentence about the first grant, no mapping, that lets the entity get one of the names; undefined if none does. */
export function stillAllowed(
  grants: readonly Grant[],
  { entity, names }: MappingRequest,
): string | undefined {
  for (const grant of grants) {
    if (!grant.actions.includes('get') || mappedBy(grant) === entity) continue;
    if (!grant.to.some((to) => matches(to, entity))) continue;
    const name = names.find((one) => grant.secrets.some((secret) => matches(secret, one)));
    if (name === undefined) continue;
    return (
      `no mapping lets ${entity} get ${JSON.stringify(name)} any more, but ${kindOf(grant, entity, name)} of the policy ` +
      'does: an administrator can change that with "coffer policy apply"'
    );
  }
  return undefined;
}

/** Says no more than who removes a mapping has to know: it may be nobody who reads the policy. */
function kindOf({ to, secrets, when }: Grant, entity: string, name: string): string {
  if (when) return 'a grant with conditions';
  if (!to.includes(entity)) return 'a grant to a pattern of principals';
  if (!secrets.includes(name)) return 'a grant on a pattern of names';
  return 'a grant to several principals, or of several actions,';
}

const mappingOf = (entity: string, names: readonly string[]): Grant =>
  canonical({ to: [entity], actions: ['get'], secrets: names });
