import { readFileSync } from 'node:fs';
import type { Action, Grant, GrantConditions } from '@coffer/client';
import { isAlias, parseDocument, visit } from 'yaml';
import { Failure, systemReason } from './failure.js';
import { type IdentityNames, PrincipalReader, type ResolvedName, text } from './policy-principals.js';
import { quote } from './quote.js';

const ACTIONS: readonly Action[] = [
  'get',
  'info',
  'put',
  'create-version',
  'activate',
  'delete',
  'admin',
  'metrics',
];
const GRANT_KEYS = ['to', 'actions', 'secrets'] as const;
const CONDITIONS = ['application', 'host'] as const;

/** What a policy file says, in ids alone. */
export interface PolicyFile {
  readonly grants: readonly Grant[];
  /** What stands in the file under another name than its id. */
  readonly resolved: readonly ResolvedName[];
}

/**
 * Reads a policy file, YAML or JSON. A Failure names the file and the path of what is wrong in it.
 *
 * @param identityDir where identities are, in place of where "coffer identity" has them; looked at only if a name has to be
 *   looked up
 */
export async function readPolicyFile(path: string, identityDir?: string): Promise<PolicyFile> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    throw new Failure(
      `cannot read ${path}: ${error instanceof TypeError ? 'it is not UTF-8' : systemReason(error)}`,
    );
  }
  // Most files name no identity, and need not load what knows them.
  const identities = /nats|component|provider/.test(text) ? await import('./identity-names.js') : undefined;
  try {
    return parsePolicy(text, identities && (() => identities.openNames(identityDir)));
  } catch (error) {
    throw error instanceof Failure ? new Failure(`${path}: ${error.message}`) : error;
  }
}

/**
 * Strict: what is not exactly `grants: [{to, actions, secrets, when?}]`, with `aliases: {name: id}` if there are any, is a Failure,
 * so that no typo widens or drops a grant.
 *
 * @param openNames whom to ask for the keys of accounts and users; called once, and only if there is a name to look up
 */
export function parsePolicy(
  text: string,
  openNames: () => IdentityNames = () => {
    throw new Failure('it names accounts or users, and nobody is there to know them');
  },
): PolicyFile {
  const content = parseYaml(text);
  if (content === null) throw new Failure('it is empty: write "grants: []" to allow nothing to anybody');
  const file = fields(content, '', ['grants'], ['aliases']);
  const principals = new PrincipalReader(file.aliases, openNames);
  const grants = list(file.grants, 'grants', (value, path) => grant(value, path, principals));
  return { grants, resolved: principals.resolved };
}

function grant(value: unknown, path: string, principals: PrincipalReader): Grant {
  const { to, actions, secrets, when } = fields(value, path, GRANT_KEYS, ['when']);
  const read = {
    to: filledList(to, `${path}.to`, principals.read),
    actions: filledList(actions, `${path}.actions`, action),
    secrets: filledList(secrets, `${path}.secrets`, text),
  };
  // Written with nothing behind it, it is null: that is no grant without conditions.
  if (when === undefined) return read;
  if (read.actions.some((each) => each !== 'get')) {
    throw new Failure(`${path}.when: stands in grants whose only action is get`);
  }
  return { ...read, when: conditions(when, `${path}.when`) };
}

function conditions(value: unknown, path: string): GrantConditions {
  const stated = fields(value, path, [], CONDITIONS);
  if (Object.keys(stated).length === 0) {
    throw new Failure(`${path}: is empty; write ${CONDITIONS.join(', ')}, or leave it out`);
  }
  const list = (name: (typeof CONDITIONS)[number]) =>
    name in stated && { [name]: filledList(stated[name], `${path}.${name}`, text) };
  return { ...list('application'), ...list('host') };
}

function parseYaml(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: true });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    // The parser adds lines that show the place; its first line names it.
    const [sentence = ''] = problem.message.split('\n');
    const hint = problem.code === 'BAD_ALIAS' ? ' (a pattern that begins with * needs quotes: "*")' : '';
    throw new Failure(`${sentence.replace(/:$/, '')}${hint}`);
  }
  visit(document, {
    Node(_key, node) {
      if (isAlias(node))
        throw new Failure(`an alias *${node.source}: a pattern that begins with * needs quotes`);
    },
  });
  return document.toJS();
}

function fields<K extends string, O extends string = never>(
  value: unknown,
  path: string,
  keys: readonly K[],
  optional: readonly O[] = [],
): Record<K | O, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Failure(`${path || 'the file'}: must hold ${(keys.length > 0 ? keys : optional).join(', ')}`);
  }
  const within = path === '' ? '' : `${path}.`;
  const known: readonly string[] = [...keys, ...optional];
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) {
      throw new Failure(`${within}${key}: unknown key, write ${known.join(', ')}`);
    }
  }
  const missing = keys.find((key) => !(key in value));
  if (missing !== undefined) throw new Failure(`${within}${missing}: missing`);
  return value as Record<K | O, unknown>;
}

function list<T>(value: unknown, path: string, item: (value: unknown, path: string) => T): T[] {
  if (!Array.isArray(value)) throw new Failure(`${path}: must be a list`);
  return value.map((each, index) => item(each, `${path}[${index}]`));
}

function filledList<T>(value: unknown, path: string, item: (value: unknown, path: string) => T): T[] {
  const items = list(value, path, item);
  if (items.length === 0)
    throw new Failure(`${path}: is empty, so that the grant allows nothing; leave it out`);
  return items;
}

function action(value: unknown, path: string): Action {
  const known = ACTIONS.find((each) => each === value);
  if (known !== undefined) return known;
  const shown = typeof value === 'string' ? `unknown action ${quote(value)}` : 'not an action';
  throw new Failure(`${path}: ${shown}, write ${ACTIONS.join(', ')}`);
}
