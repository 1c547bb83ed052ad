import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { run, TemporaryFolder } from '../support/processes.mjs';
import { coffer } from '../support/servers.mjs';

/** The real shells are asked what they would offer behind the words of a line; the last word is the one at the cursor. */
const SHELLS: Readonly<
  Record<string, (words: readonly string[], folder: TemporaryFolder) => Promise<string[]>>
> = {
  bash: async (words, folder) => {
    const line = ['coffer', ...words].map(quoted).join(' ');
    const ask = `source ./script; COMP_WORDS=(${line}); COMP_CWORD=${words.length}
      [ "$(complete -p coffer)" = 'complete -F _coffer coffer' ] && _coffer && printf '%s\\n' "\${COMPREPLY[@]}"`;
    return offered(await run('bash', ['--norc', '--noprofile', '-c', ask], { cwd: folder.path }));
  },

  // Outside of a line editor zsh has no completion: its functions answer with what they are asked for.
  zsh: async (words, folder) => {
    const line = ['coffer', ...words].map(quoted).join(' ');
    const ask = `
      compdef() { }
      _describe() { print -l -- "\${(@P)@[-1]}" }
      _files() { if [[ $1 == -/ ]]; then print -l -- *(N-/); else print -l -- *(N); fi }
      compset() { }
      _command_names() { print ls }
      _normal() { print ls }
      source ./script; words=(${line}); CURRENT=${words.length + 1}; _coffer`;
    const word = words.at(-1) ?? '';
    const all = offered(await run('zsh', ['-f', '-c', ask], { cwd: folder.path }));
    return all.map((each) => each.replace(/:.*/, '')).filter((each) => each.startsWith(word));
  },

  fish: async (words, folder) => {
    const ask = `source ./script; complete -C ${quoted(['coffer', ...words].join(' '))}`;
    const env = {
      HOME: folder.path,
      XDG_CONFIG_HOME: folder.join('.config'),
      XDG_DATA_HOME: folder.join('.data'),
    };
    const all = offered(await run('fish', ['--no-config', '-c', ask], { cwd: folder.path, env }));
    return all.map((each) =>
      each
        .replace(/\t.*/, '')
        .replace(/^--[a-z-]+=/, '')
        .replace(/\/$/, ''),
    );
  },
};

describe.each(Object.keys(SHELLS))('completion in %s', (shell) => {
  const offers = async (...words: string[]) => {
    using folder = await place(shell);
    return (await SHELLS[shell]?.(words, folder)) ?? [];
  };

  it('offers commands, of groups too', async () => {
    expect(await offers('pol')).toEqual(['policy']);
    expect((await offers('policy', '')).sort()).toEqual(['apply', 'check', 'show']);
    expect(await offers('-s', 'http://localhost', 'token', 'cr')).toEqual(['create']);
    expect(await offers('completion', 'z')).toEqual(['zsh']);
  });

  it('takes the value of an option for no command', async () => {
    expect(await offers('-s', 'policy', 'app')).toEqual([]);
    expect(await offers('--token-file', 'token', 'policy', 'app')).toEqual(['apply']);
  });

  it('offers the options of a command, and of no other', async () => {
    expect(await offers('server', '--lis')).toEqual(['--listen']);
    expect(await offers('policy', 'apply', '--dry')).toEqual(['--dry-run']);
    expect(await offers('policy', 'show', '--dry')).toEqual([]);
  });

  it('offers files where a file is taken, and folders where a folder is', async () => {
    expect(await offers('policy', 'apply', 'pol')).toEqual(['policy.yaml']);
    expect(await offers('get', '--token-file', 'pol')).toEqual(['policy.yaml']);
    expect(await offers('get', '--creds', 'pol')).toEqual(['policy.yaml']);
    expect(await offers('token', 'mint', '--body', 'pol')).toEqual(['policy.yaml']);
    expect(await offers('server', '--state-dir', 'po')).toEqual(['pools']);
    expect(await offers('get', 'pol')).toEqual([]);
    expect(await offers('server', '--listen', 'pol')).toEqual([]);
  });

  it('offers programs for coffer run', async () => {
    expect(await offers('run', '--env', 'A=b', '--', 'ls')).toContain('ls');
  });
});

it('bash finds a file behind an =, too', async () => {
  using folder = await place('bash');
  expect(await SHELLS.bash?.(['server', '--config', '=', 'pol'], folder)).toEqual(['policy.yaml']);
});

it('no script is printed for a shell that we do not know', async () => {
  const { code, stderr } = await coffer(['completion', 'tcsh']);
  expect(code).toBe(1);
  expect(stderr.toString()).toContain('Allowed choices are bash, zsh, fish');
});

/** A folder with the script, two files and a folder. */
async function place(shell: string): Promise<TemporaryFolder> {
  const folder = new TemporaryFolder();
  writeFileSync(folder.join('script'), (await coffer(['completion', shell])).stdout);
  writeFileSync(folder.join('policy.yaml'), '');
  writeFileSync(folder.join('other'), '');
  mkdirSync(folder.join('pools'));
  return folder;
}

function offered({ stdout, stderr }: Awaited<ReturnType<typeof run>>): string[] {
  expect(stderr.toString()).toBe('');
  return stdout
    .toString()
    .split('\n')
    .filter((line) => line !== '');
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
