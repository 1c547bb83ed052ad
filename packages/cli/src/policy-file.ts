import { readFileSync } from 'node:fs';
import type { Action, Grant } from '@coffer/client';
import { isAlias, parseDocument, visit } from 'yaml';
import { Failure, systemReason } from './failure.js';
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

/** Reads a policy file, YAML or JSON. A Failure names the file and the path of what is wrong in it. */
export function readPolicyFile(path: string): Grant[] {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    throw new Failure(
      `cannot read ${path}: ${error instanceof TypeError ? 'it is not UTF-8' : systemReason(error)}`,
    );
  }
  try {
    return parsePolicy(text);
  } catch (error) {
    throw error instanceof Failure ? new Failure(`${path}: ${error.message}`) : error;
  }
}

/** Strict: what is not exactly `grants: [{to, actions, secrets}]` is a Failure, so that no typo widens or drops a grant. */
export function parsePolicy(text: string): Grant[] {
  const content = parseYaml(text);
  if (content === null) throw new Failure('it is empty: write "grants: []" to allow nothing to anybody');
  const file = fields(content, '', ['grants']);
  return list(file.grants, 'grants', grant);
}

function grant(value: unknown, path: string): Grant {
  const { to, actions, secrets } = fields(value, path, GRANT_KEYS);
  return {
    to: filledList(to, `${path}.to`, text),
    actions: filledList(actions, `${path}.actions`, action),
    secrets: filledList(secrets, `${path}.secrets`, text),
  };
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

function fields<K extends string>(value: unknown, path: string, keys: readonly K[]): Record<K, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Failure(`${path || 'the file'}: must hold ${keys.join(', ')}`);
  }
  const within = path === '' ? '' : `${path}.`;
  for (const key of Object.keys(value)) {
    if (!(keys as readonly string[]).includes(key)) {
      throw new Failure(`${within}${key}: unknown key, write ${keys.join(', ')}`);
    }
  }
  const missing = keys.find((key) => !(key in value));
  if (missing !== undefined) throw new Failure(`${within}${missing}: missing`);
  return value as Record<K, unknown>;
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

function text(value: unknown, path: string): string {
  if (typeof value !== 'string' || value === '') throw new Failure(`${path}: must be text`);
  return value;
}

function action(value: unknown, path: string): Action {
  const known = ACTIONS.find((each) => each === value);
  if (known !== undefined) return known;
  const shown = typeof value === 'string' ? `unknown action ${quote(value)}` : 'not an action';
  throw new Failure(`${path}: ${shown}, write ${ACTIONS.join(', ')}`);
}
