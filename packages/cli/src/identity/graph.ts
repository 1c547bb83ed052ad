import { type GraphNode, graphOf, takeSnapshot } from '@coffer/identity';
import { paint, print, printJson } from '../output.js';
import { displayName } from '../quote.js';
import { failForDamaged } from './damaged.js';
import { shownKey } from './key-names.js';
import { openStore, type StoreOptions } from './workplace.js';

/** `graph`. */
export async function graph(options: object): Promise<void> {
  const { json, longIds, ...folders } = options as StoreOptions & {
    readonly json?: boolean;
    readonly longIds?: boolean;
  };
  const snapshot = takeSnapshot(openStore(folders));
  const root = graphOf(snapshot);
  if (json) await printJson(root);
  else await print(draw(root, longIds ?? false).join('\n'));
  await failForDamaged(snapshot.damaged, 'what they say, and what their keys signed, is not drawn');
}

/** One line for each node, with the lines of a tree before it. */
function draw(node: GraphNode, longIds: boolean): string[] {
  const last = node.children.length - 1;
  const below = node.children.flatMap((child, at) => {
    const [first = '', ...rest] = draw(child, longIds);
    const [branch, space] = at === last ? ['└─ ', '   '] : ['├─ ', '│  '];
    return [branch + first, ...rest.map((line) => space + line)];
  });
  return [line(node, longIds), ...below];
}

function line(node: GraphNode, longIds: boolean): string {
  const { what, name, key, role, standing, state } = node;
  const shown = shownKey(key, longIds);
  const said = [what === 'key' ? keyName(node) : `${what} ${paint('bold', displayName(name))}`, shown];
  if (role) said.push(`role ${paint('bold', displayName(role))}`);
  if (standing === 'removed') said.push(paint('red', 'removed: what it signed is refused'));
  else if (what === 'key' && node.children.length === 0) said.push('signed nothing here');
  if (state !== undefined && state !== 'valid')
    said.push(paint(state === 'revoked' ? 'red' : 'yellow', state));
  return said.join('  ');
}

const keyName = ({ standing }: GraphNode): string =>
  standing === 'own' ? 'own key' : standing === 'signing' ? 'signing key' : 'key';
