import { flagsOf, lookups } from './lookups.js';
import type { TreeNode } from './tree.js';

/** A script for zsh 5 and newer. */
export function zshScript(tree: readonly TreeNode[]): string {
  return `#compdef coffer
# Completes coffer in zsh. Put it where your shell reads it: behind compinit in ~/.zshrc
#   source <(coffer completion zsh)
# or, once, into a file named _coffer in a folder of $fpath.

_coffer_commands() {
  case $1 in
${cases(tree, ({ commands, choices }) => [
  ...commands.map(({ name, summary }) => described(name, summary)),
  ...choices.map((word) => described(word, '')),
])}
  esac
}

_coffer_options() {
  case $1 in
${cases(tree, ({ options }) => options.flatMap((option) => flagsOf(option).map((flag) => described(flag, option.summary))))}
  esac
}

${lookups(tree)}

_coffer() {
  local command_path='' option='' word kind
  local -i i
  local -a reply
  for ((i = 2; i < CURRENT; i++)); do
    word=$words[i]
    if [[ -n $option ]]; then
      option=''
    elif [[ $word == -- ]]; then
      if [[ $(_coffer_operand "$command_path") == command ]]; then
        words=("\${(@)words[i + 1,-1]}")
        (( CURRENT -= i ))
        _normal
      fi
      return
    elif [[ $word == -* ]]; then
      if [[ -n $(_coffer_value "$command_path" "$word") ]]; then option=$word; fi
    else
      _coffer_commands "$command_path"
      if (( \${reply[(I)$word(|:*)]} )); then command_path="\${command_path:+$command_path }$word"; fi
      reply=()
    fi
  done

  if [[ -n $option ]]; then
    kind=$(_coffer_value "$command_path" "$option")
  elif [[ $words[CURRENT] == --*=* ]]; then
    kind=$(_coffer_value "$command_path" "\${words[CURRENT]%%=*}")
    compset -P '*='
  elif [[ $words[CURRENT] == -* ]]; then
    _coffer_options "$command_path"
    _describe -o option reply
    return
  else
    _coffer_commands "$command_path"
    (( $#reply )) && _describe command reply
    kind=$(_coffer_operand "$command_path")
  fi
  case $kind in
    file) _files ;;
    folder) _files -/ ;;
    command) _command_names -e ;;
  esac
}

if [[ $funcstack[1] == _coffer ]]; then _coffer "$@"; else compdef _coffer coffer; fi
`;
}

/** `name:summary`, as _describe takes it. */
const described = (name: string, summary: string): string =>
  quoted(summary === '' ? name : `${name}:${summary.replaceAll(':', '\\:')}`);

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function cases(tree: readonly TreeNode[], tell: (node: TreeNode) => readonly string[]): string {
  return tree
    .map((node): [string, readonly string[]] => [node.path, tell(node)])
    .filter(([, told]) => told.length > 0)
    .map(([path, told]) => `    '${path}') reply=(${told.join(' ')}) ;;`)
    .join('\n');
}
