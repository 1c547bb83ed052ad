import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Finished, Process, run } from '../support/processes.mjs';
import type { ImageConfig } from './containerfile.js';

/** Why containers cannot be made here; undefined: they can. */
export async function whyNoContainers(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'namespaces are Linux’s';
  const { code, stderr } = await run('unshare', [...NAMESPACES, 'true']);
  return code === 0 ? undefined : `no namespaces can be made: ${stderr}`;
}

const NAMESPACES = ['--mount', '--pid', '--fork', '--kill-child'];

/** What the base image has and the folder has not: C and C++ libraries. They are this machine's. */
const LIBRARIES = ['/usr/lib', '/usr/lib64'].filter((folder) => existsSync(folder));

export interface ContainerOptions {
  readonly config: ImageConfig;
  /** The root file system, which nobody can write to. */
  readonly root: string;
  /** Folders by where they are in the container; those of volumes can be written to. */
  readonly mounts: Readonly<Record<string, { readonly folder: string; readonly writable?: boolean }>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Further groups, as a pod's fsGroup is one. */
  readonly groups?: readonly number[];
  /** In place of those of the image's CMD. */
  readonly args?: readonly string[];
}

/**
 * What a container engine does with an image, as far as it matters here: mount and process namespaces of its own, in which the
 * image's command is process 1, as the image's user, with the image's environment and no other, on a root file system that
 * is read-only. There is no shell in it.
 */
export class Container implements AsyncDisposable {
  readonly process: Process;
  readonly #options: ContainerOptions;

  constructor(options: ContainerOptions) {
    this.#options = options;
    const { config, args, root } = options;
    for (const folder of LIBRARIES) {
      const link = join(root, basename(folder));
      if (!existsSync(link)) symlinkSync(folder.slice(1), link);
    }
    const command = [...config.command.slice(0, args ? 1 : undefined), ...(args ?? [])];
    this.process = new Process('unshare', [...NAMESPACES, 'sh', '-euc', this.#script(), 'sh', ...command]);
  }

  /** Process 1, by its number outside. */
  get #pid(): number {
    const { pid } = this.process;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return Number(children.split(' ')[0]);
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.#pid, signal);
  }

  /** Runs a command beside process 1, as "docker exec" does. */
  async exec(command: readonly string[]): Promise<Finished> {
    const into = ['--target', String(this.#pid), '--mount', '--pid', '--'];
    return run('nsenter', [...into, ...this.#enter(), ...command]);
  }

  /** As "docker stop". */
  async stop() {
    if (this.process.running) this.signal('SIGTERM');
    return this.process.exited;
  }

  async [Symbol.asyncDispose]() {
    if (this.process.running) this.signal('SIGKILL');
    await this.process.exited;
  }

  #script(): string {
    const { root, mounts } = this.#options;
    const bind = (from: string, to: string, flags = 'ro') => `mount --bind '${from}' '${to}'
mount -o 'remount,bind,nosuid,${flags}' '${to}'`;
    const folders = ['proc', 'dev', ...LIBRARIES, ...Object.keys(mounts)].map(
      (name) => `'${join(root, name)}'`,
    );
    return `mount --make-rprivate /
mkdir -p ${folders.join(' ')}
${bind(root, root)}
${LIBRARIES.map((folder) => bind(folder, join(root, folder))).join('\n')}
${Object.entries(mounts)
  .map(([to, { folder, writable }]) => bind(folder, join(root, to), writable ? 'rw' : 'ro'))
  .join('\n')}
mount -t proc proc '${join(root, 'proc')}'
mount --bind /dev '${join(root, 'dev')}'
exec ${this.#enter().join(' ')} "$@"`;
  }

  /** What a command is put behind: it has these variables only, and cannot see beyond the root folder. */
  #enter(): string[] {
    const { config, root, env = {}, groups = [] } = this.#options;
    const variables = Object.entries({ PATH: '/usr/local/bin:/usr/bin:/bin', ...config.env, ...env });
    return [
      ...['env', '-i', ...variables.map(([name, value]) => `${name}=${value}`)],
      ...['/usr/sbin/chroot', `--userspec=${config.user}`, `--groups=${groups.join(',')}`, root],
    ];
  }
}
