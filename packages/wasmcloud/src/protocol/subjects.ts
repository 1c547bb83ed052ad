import type { Operation } from '../backend/options.js';

/** The one version of the protocol that exists: the token behind the prefix. */
export const API_VERSION = 'v1alpha1';
export const DEFAULT_PREFIX = 'wasmcloud.secrets';

/** Where a backend listens. */
export interface BackendAddress {
  /** One token of a subject, as `nats-kv`. */
  readonly name: string;
  /** One token or several; default `wasmcloud.secrets`. */
  readonly prefix?: string | undefined;
}

/** Whether a text can be one token of a subject: printable, without dots, wildcards and spaces. */
export const isSubjectToken = (text: string): boolean => /^[^\s\p{C}.*>]{1,128}$/u.test(text);

/** Whether a text can stand before the version: one token or several. */
export const isSubjectPrefix = (text: string): boolean => text.split('.').every(isSubjectToken);

/**
 * `<prefix>.v1alpha1.<name>`, under which all subjects of a backend are.
 *
 * @throws TypeError for a name or a prefix that cannot be part of a subject
 */
export function subjectBase({ name, prefix = DEFAULT_PREFIX }: BackendAddress): string {
  if (!isSubjectToken(name)) {
    throw new TypeError('the name of a backend is one token of a subject: no dots, wildcards or spaces');
  }
  if (!isSubjectPrefix(prefix)) {
    throw new TypeError('the prefix of subjects consists of tokens without wildcards and spaces');
  }
  return `${prefix}.${API_VERSION}.${name}`;
}

/** The subject of an operation; `entity` stands at its end where the operation is about one. */
export function operationSubject(
  address: BackendAddress,
  operation: Exclude<Operation, 'unknown'>,
  entity?: string,
): string {
  const subject = `${subjectBase(address)}.${operation}`;
  return entity === undefined ? subject : `${subject}.${entity}`;
}

/** What a subject asks for. */
export interface Asked {
  readonly operation: Operation;
  /** The last token, where the operation may be about an entity; not checked yet. */
  readonly entity?: string | undefined;
}

const PLAIN = new Set(['get', 'server_xkey', 'put_secret', 'get_secret']);
const ABOUT_ENTITY = new Set(['add_mapping', 'remove_mapping', 'list_mappings']);
const UNKNOWN: Asked = { operation: 'unknown' };

/** Reads a subject below `base`, which is that of {@link subjectBase}. */
export function parseSubject(base: string, subject: string): Asked {
  if (!subject.startsWith(`${base}.`)) return UNKNOWN;
  const [operation = '', entity, ...more] = subject.slice(base.length + 1).split('.');
  const known = PLAIN.has(operation) ? entity === undefined : ABOUT_ENTITY.has(operation);
  return known && more.length === 0 ? { operation: operation as Operation, entity } : UNKNOWN;
}
