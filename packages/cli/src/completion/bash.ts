import { flagsOf, lookups } from './lookups.js';
import type { TreeNode } from './tree.js';

/** A script for bash 3.2 and newer, without the bash-completion package. */
export function bashScript(tree: readonly TreeNode[]): string {
  return `# Completes coffer in bash. Put it where your shell reads it:
#   source <(coffer completion bash)

_coffer_commands() {
  case $1 in
${cases(tree, ({ commands, choices }) => words([...commands.map(({ name }) => name), ...choices]))}
  esac
}

_coffer_options() {
  case $1 in
${cases(tree, ({ options }) => words(options.flatMap(flagsOf)))}
  esac
}

${lookups(tree)}

_coffer_offer() {
  local word
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen "$@")
}

_coffer() {
  local cur=\${COMP_WORDS[COMP_CWORD]} path='' option='' behind='' word i found kind
  COMPREPLY=()
  # bash cuts words at = and : too; the option before the = is what counts.
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [ -n "$behind" ]; then
      behind=more
    elif [ "$word" = = ]; then
      :
    elif [ -n "$option" ]; then
      option=''
    elif [ "$word" = -- ]; then
      behind=first
    elif [ "\${word#-}" != "$word" ]; then
      if [ -n "$(_coffer_value "$path" "$word")" ]; then option=$word; fi
    else
      found=" $(_coffer_commands "$path") "
      if [ "\${found#* "$word" }" != "$found" ]; then path="\${path:+$path }$word"; fi
    fi
  done
  [ "$cur" = = ] && cur=''

  if [ -n "$option" ]; then
    kind=$(_coffer_value "$path" "$option")
  elif [ -z "$behind" ] && [ "\${cur#-}" != "$cur" ]; then
    _coffer_offer -W "$(_coffer_options "$path")" -- "$cur"
    return
  else
    _coffer_offer -W "$(_coffer_commands "$path")" -- "$cur"
    kind=$(_coffer_operand "$path")
    [ "$kind$behind" = commandmore ] && kind=file
  fi
  case $kind in
    file) compopt -o filenames 2>/dev/null; _coffer_offer -f -- "$cur" ;;
    folder) compopt -o filenames 2>/dev/null; _coffer_offer -d -- "$cur" ;;
    command) _coffer_offer -c -- "$cur" ;;
  esac
}

complete -F _coffer coffer
`;
}

const words = (all: readonly string[]): string => all.join(' ');

/** `'policy apply') echo '…' ;;` for every command that has something to say. */
function cases(tree: readonly TreeNode[], tell: (node: TreeNode) => string): string {
  return tree
    .map((node): [string, string] => [node.path, tell(node)])
    .filter(([, told]) => told !== '')
    .map(([path, told]) => `    '${path}') echo '${told}' ;;`)
    .join('\n');
}
