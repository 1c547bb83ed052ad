import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** One instruction of a Containerfile, its continued lines joined. */
export interface Instruction {
  readonly line: number;
  readonly name: string;
  readonly flags: Readonly<Record<string, string>>;
  readonly text: string;
}

export interface Stage {
  readonly base: string;
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
}

/** What an image says of how it is run. */
export interface ImageConfig {
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workdir: string;
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
}

/** Reads what this repository's Containerfile has: ARG before the first FROM, and RUN, CMD and ENTRYPOINT in exec form. */
export function parseContainerfile(text: string): readonly Stage[] {
  const args = new Map<string, string>();
  const stages: { base: string; name: string | undefined; instructions: Instruction[] }[] = [];
  for (const instruction of instructionsOf(text)) {
    const { name, text: rest } = instruction;
    if (name === 'ARG') {
      const [, key = '', value = ''] = /^(\w+)=(.*)$/.exec(rest) ?? [];
      args.set(key, value);
    } else if (name === 'FROM') {
      const filled = rest.replaceAll(/\$\{(\w+)\}/g, (_, key) => args.get(key) ?? '');
      const [, base = '', stage] = /^(\S+)(?: AS (\S+))?$/.exec(filled) ?? [];
      stages.push({ base, name: stage, instructions: [] });
    } else {
      stages.at(-1)?.instructions.push(instruction);
    }
  }
  return stages;
}

function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n');
  const found: Instruction[] = [];
  for (let at = 0; at < lines.length; at++) {
    let whole = lines[at] ?? '';
    if (/^\s*(#|$)/.test(whole)) continue;
    const line = at + 1;
    while (whole.endsWith('\\')) whole = `${whole.slice(0, -1)} ${(lines[++at] ?? '').trim()}`;
    const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(whole) ?? [];
    const [, flags = '', content = ''] = /^((?:--\S+\s+)*)(.*)$/.exec(rest) ?? [];
    const pairs = flags.split(/\s+/).filter(Boolean);
    found.push({
      line,
      name,
      flags: Object.fromEntries(pairs.map((flag) => flag.slice(2).split('=', 2))),
      text: content.trim(),
    });
  }
  return found;
}

/** @throws unless it is in exec form, which needs no shell */
export const execForm = ({ line, text }: Pick<Instruction, 'line' | 'text'>): readonly string[] => {
  if (!text.startsWith('[')) throw new Error(`line ${line} wants a shell: ${text}`);
  return JSON.parse(text);
};

export function configOf({ instructions }: Stage): ImageConfig {
  const last = (name: string) => instructions.findLast((one) => one.name === name);
  const command = (['ENTRYPOINT', 'CMD'] as const).flatMap((name) => {
    const found = last(name);
    return found ? execForm(found) : [];
  });
  const health = last('HEALTHCHECK');
  const env = instructions.filter(({ name }) => name === 'ENV').flatMap(({ text }) => text.split(/\s+/));
  return {
    env: Object.fromEntries(env.map((pair) => pair.split(/=(.*)/s, 2))),
    user: last('USER')?.text ?? 'root',
    workdir: last('WORKDIR')?.text ?? '/',
    command,
    healthcheck: health ? execForm({ ...health, text: health.text.replace(/^CMD\s+/, '') }) : [],
  };
}

/** Whether a path of the build's context is left out, by .dockerignore: the last line that matches it or a folder above decides. */
export function ignores(dockerignore: string): (path: string) => boolean {
  const rules = dockerignore.split('\n').flatMap((line) => {
    if (/^\s*(#|$)/.test(line)) return [];
    const pattern = line.trim().replace(/^!/, '');
    const source = pattern
      .split('/')
      .map((part) =>
        part === '**' ? '(?:.*/)?' : `${part.replaceAll(/[.+?]/g, '\\$&').replaceAll('*', '[^/]*')}/`,
      )
      .join('');
    return [{ kept: line.startsWith('!'), pattern: new RegExp(`^${source}`) }];
  });
  return (path) => rules.findLast(({ pattern }) => pattern.test(`${path}/`))?.kept !== true;
}

export interface BuildOptions {
  readonly context: string;
  /** Where the stages are built, a folder each. */
  readonly folder: string;
  /** As whom RUN is run, where it is not as who we are. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  readonly env: Readonly<Record<string, string>>;
}

/** Does what the stages say, in plain folders. @returns the root folder of the last */
export function build(stages: readonly Stage[], options: BuildOptions): string {
  const roots = new Map<string, string>();
  let root = '';
  for (const [index, { base, name, instructions }] of stages.entries()) {
    root = join(options.folder, `stage-${index}`);
    mkdirSync(root, { recursive: true });
    if (base.startsWith('node:')) addNode(root);
    let workdir = '/';
    for (const instruction of instructions) {
      const place = { root, workdir };
      if (instruction.name === 'RUN') runStep(instruction, place, options);
      if (instruction.name === 'COPY') copyStep(instruction, place, { ...options, roots });
      if (instruction.name !== 'WORKDIR') continue;
      workdir = instruction.text;
      mkdirSync(join(root, workdir), { recursive: true });
    }
    if (name !== undefined) roots.set(name, root);
  }
  return root;
}

interface Place {
  readonly root: string;
  readonly workdir: string;
}

function runStep(instruction: Instruction, { root, workdir }: Place, { user, env }: BuildOptions): void {
  const [program = '', ...args] = execForm(instruction);
  const inRoot = args.map((arg) => (arg.startsWith('/') ? join(root, arg) : arg));
  const PATH = join(root, 'usr/local/bin');
  if (user) ownAll(root, user);
  const options = { cwd: join(root, workdir), env: { ...env, PATH }, encoding: 'utf8', ...user } as const;
  const { status, error, stdout, stderr } = spawnSync(join(PATH, program), inRoot, options);
  if (status === 0) return;
  throw new Error(`line ${instruction.line}: ${instruction.text}: ${error ?? status}\n${stdout}${stderr}`);
}

function copyStep(
  { flags, text, line }: Instruction,
  { root, workdir }: Place,
  { context, roots, user }: BuildOptions & { readonly roots: ReadonlyMap<string, string> },
): void {
  const paths = text.split(/\s+/);
  const to = paths.pop() ?? '';
  const isIgnored = ignores(readFileSync(join(context, '.dockerignore'), 'utf8'));
  const { from } = flags;
  const filter = (file: string) => from !== undefined || !isIgnored(relative(context, file));
  for (const path of paths) {
    const source = join(from === undefined ? context : (roots.get(from) ?? ''), path);
    if (!existsSync(source) || !filter(source)) throw new Error(`line ${line}: there is no ${path} to copy`);
    const target = join(root, to.startsWith('/') ? to : join(workdir, to), to.endsWith('/') ? path : '');
    mkdirSync(dirname(target), { recursive: true });
    cpSync(source, target, { recursive: true, filter, verbatimSymlinks: true });
    if (flags.chmod !== undefined) chmodSync(target, Number.parseInt(flags.chmod, 8));
    if (user) ownAll(target, flags.chown === undefined ? { uid: 0, gid: 0 } : ids(flags.chown));
  }
}

/** What the base image has of it: Node, and npm, both of this machine. */
function addNode(root: string): void {
  const bin = join(root, 'usr/local/bin');
  const npm = join(root, 'usr/local/lib/npm');
  mkdirSync(bin, { recursive: true });
  cpSync(process.execPath, join(bin, 'node'), { dereference: true });
  const { stdout } = spawnSync('which', ['npm'], { encoding: 'utf8' });
  cpSync(dirname(dirname(realpathSync(stdout.trim()))), npm, { recursive: true });
  symlinkSync('../lib/npm/bin/npm-cli.js', join(bin, 'npm'));
}

export function ids(user: string): { uid: number; gid: number } {
  const [uid = '', gid = ''] = user.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

function ownAll(path: string, { uid, gid }: { readonly uid: number; readonly gid: number }): void {
  spawnSync('chown', ['-Rh', `${uid}:${gid}`, path]);
}
