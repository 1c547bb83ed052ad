import type { Takes, TreeNode, TreeOption } from './tree.js';

/** An option as it is written, its short form first. */
export const flagsOf = ({ short, long }: TreeOption): string[] =>
  short === undefined ? [`--${long}`] : [`-${short}`, `--${long}`];

/** Two functions that bash and zsh read alike: what may stand behind an option, and behind a command. */
export function lookups(tree: readonly TreeNode[]): string {
  return `# What the value of an option is: file, folder or word. Nothing: it takes none.
_coffer_value() {
  case "$1 $2" in
${values(tree)}
  esac
}

# What the operands of a command are.
_coffer_operand() {
  case $1 in
${operands(tree)}
  esac
}`;
}

function values(tree: readonly TreeNode[]): string {
  const kinds: Takes[] = ['file', 'folder', 'word'];
  const line = ({ path, options }: TreeNode, kind: Takes) => {
    const taking = options.filter(({ takes }) => takes === kind).flatMap(flagsOf);
    return taking.length === 0
      ? []
      : [`    ${taking.map((flag) => `'${path} ${flag}'`).join(' | ')}) echo ${kind} ;;`];
  };
  return tree.flatMap((node) => kinds.flatMap((kind) => line(node, kind))).join('\n');
}

function operands(tree: readonly TreeNode[]): string {
  return tree
    .filter(({ operand }) => operand !== 'nothing' && operand !== 'word')
    .map(({ path, operand }) => `    '${path}') echo ${operand} ;;`)
    .join('\n');
}
