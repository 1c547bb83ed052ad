import type { Takes, TreeNode, TreeOption } from './tree.js';

/** A script for fish 3 and newer. */
export function fishScript(tree: readonly TreeNode[]): string {
  return `# Completes coffer in fish. Put it where your shell reads it:
#   coffer completion fish > ~/.config/fish/completions/coffer.fish

# The command that the line has reached, such as "policy apply"; -- for what stands behind that.
function __coffer_path
    set -l path ''
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if test "$word" = --
            echo -- --
            return
        else if string match -q -- '-*' $word
            contains -- "$path $word" $__coffer_values; and set skip 1
        else if contains -- (string trim -- "$path $word") $__coffer_paths
            set path (string trim -- "$path $word")
        end
    end
    echo -- "$path"
end

function __coffer_at
    test (__coffer_path) = "$argv[1]"
end

# What would be offered if the words behind -- were the whole line.
function __coffer_rest
    set -l words (commandline -opc)
    set -l rest $words[(math (contains -i -- -- $words) + 1)..-1]
    complete -C (string join ' ' -- (string escape -- $rest) (commandline -ct))
end

set -g __coffer_paths ${tree.flatMap(({ path }) => (path === '' ? [] : quoted(path))).join(' ')}
set -g __coffer_values ${valued(tree).map(quoted).join(' ')}

complete -c coffer -f
complete -c coffer -n '__coffer_at --' -a '(__coffer_rest)'
${tree.flatMap(lines).join('\n')}
`;
}

function lines(node: TreeNode): string[] {
  const at = `complete -c coffer -n ${quoted(`__coffer_at '${node.path}'`)}`;
  return [
    ...node.commands.map(({ name, summary }) => `${at} -a ${quoted(name)} -d ${quoted(summary)}`),
    ...node.choices.map((word) => `${at} -a ${quoted(word)}`),
    ...node.options.map(
      (option) => `${at} ${flags(option)}${VALUE[option.takes]} -d ${quoted(option.summary)}`,
    ),
    ...(VALUE_OF_OPERAND[node.operand] === undefined ? [] : [`${at} ${VALUE_OF_OPERAND[node.operand]}`]),
  ];
}

const FOLDERS = "-a '(__fish_complete_directories (commandline -ct))'";

const VALUE: Readonly<Record<Takes, string>> = {
  nothing: '',
  word: ' -x',
  file: ' -r -F',
  folder: ` -x ${FOLDERS}`,
  command: ' -x',
};

const VALUE_OF_OPERAND: Readonly<Partial<Record<Takes, string>>> = {
  file: '-F',
  folder: FOLDERS,
};

const flags = ({ short, long }: TreeOption): string =>
  short === undefined ? `-l ${long}` : `-s ${short} -l ${long}`;

/** Every option that takes a value, behind its command: `policy apply --ca`. */
function valued(tree: readonly TreeNode[]): string[] {
  return tree.flatMap(({ path, options }) =>
    options
      .filter(({ takes }) => takes !== 'nothing')
      .flatMap(({ short, long }) => [
        ...(short === undefined ? [] : [`${path} -${short}`]),
        `${path} --${long}`,
      ]),
  );
}

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
