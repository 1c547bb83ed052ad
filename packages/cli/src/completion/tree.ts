import type { Argument, Command, Option } from 'commander';

/** What may stand in a place of the command line. */
export type Takes = 'nothing' | 'word' | 'file' | 'folder' | 'command';

export interface TreeOption {
  /** Without the dashes. */
  readonly short: string | undefined;
  readonly long: string;
  readonly takes: Takes;
  readonly summary: string;
}

/** One command as a shell completes it. */
export interface TreeNode {
  /** The words behind `coffer`, such as `policy apply`; empty for `coffer` itself. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly options: readonly TreeOption[];
  /** What its operands are. */
  readonly operand: Takes;
  /** Words that an operand is one of. */
  readonly choices: readonly string[];
}

/** Every command of the program, the program itself first. */
export function treeOf(command: Command, path = ''): TreeNode[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((each) => each.name() !== 'help');
  const [argument] = command.registeredArguments;
  const node: TreeNode = {
    path,
    commands: commands.map((each) => ({ name: each.name(), summary: each.summary() })),
    options: help.visibleOptions(command).map(optionOf),
    operand: argument === undefined ? 'nothing' : takenBy(argument),
    choices: argument?.argChoices ?? [],
  };
  return [node, ...commands.flatMap((each) => treeOf(each, `${path} ${each.name()}`.trimStart()))];
}

function optionOf(option: Option): TreeOption {
  // The first word alone may be the value of what takes one or none: it need not be completed.
  const takes = option.required ? kindOf(option.flags) : 'nothing';
  return {
    short: option.short?.replace(/^-/, ''),
    long: (option.long ?? '').replace(/^--/, ''),
    takes,
    summary: option.description,
  };
}

function takenBy(argument: Argument): Takes {
  if (argument.name() === 'command') return 'command';
  return kindOf(`<${argument.name()}>`);
}

/** By what the value is called: `--ca <file>`, `--state-dir <dir>`, `dir <path>`. */
function kindOf(text: string): Takes {
  const [, name = ''] = /<([^>]+)>/.exec(text) ?? [];
  if (/^(file|path)$/.test(name)) return 'file';
  return /^(dir|folder)$/.test(name) ? 'folder' : 'word';
}
