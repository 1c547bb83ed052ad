import type { Command } from 'commander';
import { bashScript } from '../completion/bash.js';
import { fishScript } from '../completion/fish.js';
import { type TreeNode, treeOf } from '../completion/tree.js';
import { zshScript } from '../completion/zsh.js';
import { write } from '../output.js';

const SCRIPTS: Readonly<Record<string, (tree: readonly TreeNode[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** @param shell one of the choices that the command was declared with */
export async function completion(shell: string, program: Command): Promise<void> {
  const script = SCRIPTS[shell];
  if (script === undefined) throw new RangeError(`no script for ${shell}`);
  await write(process.stdout, script(treeOf(program)));
}
