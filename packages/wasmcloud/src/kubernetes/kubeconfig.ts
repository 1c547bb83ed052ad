import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { z } from 'zod';
import type { KubernetesSettings } from './settings.js';

export type KubeConfigSource = Pick<KubernetesSettings, 'kubeconfig' | 'context' | 'serviceAccountDir'>;
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads where the cluster is and who we are there, from files. `@kubernetes/client-node` is loaded here, and so by nobody who has
 * no Kubernetes backend.
 *
 * @throws Error with a sentence; what a file holds is in none
 */
export async function readKubeConfig(source: KubeConfigSource, env: Environment): Promise<KubeConfig> {
  const { kubeconfig, context, serviceAccountDir } = source;
  const client = await import('@kubernetes/client-node');
  if (kubeconfig === undefined && context === undefined && isInCluster(serviceAccountDir, env)) {
    return ofServiceAccount(client, serviceAccountDir, env);
  }
  const files = kubeconfig === undefined ? defaultFiles(env) : [resolve(kubeconfig)];
  const config = merged(files.map((file) => ofFile(client, file)));
  if (context !== undefined) config.setCurrentContext(context);
  check(config, files.join(', '));
  return config;
}

type Client = typeof import('@kubernetes/client-node');

const isInCluster = (dir: string, env: Environment): boolean =>
  env.KUBERNETES_SERVICE_HOST !== undefined && existsSync(join(dir, 'token'));

function ofServiceAccount({ KubeConfig }: Client, dir: string, env: Environment): KubeConfig {
  const host = env.KUBERNETES_SERVICE_HOST ?? '';
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${env.KUBERNETES_SERVICE_PORT ?? '443'}`;
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    { name: 'cluster', server, caFile: join(dir, 'ca.crt'), skipTLSVerify: false },
    { name: 'service account', authProvider: ofTokenFile(join(dir, 'token')) },
  );
  return config;
}

/** Read again every minute, as the kubelet puts a new one there before the old one ends. */
const ofTokenFile = (tokenFile: string) => ({ name: 'tokenFile', config: { tokenFile } });

function defaultFiles(env: Environment): string[] {
  const stated = env.KUBECONFIG?.split(delimiter).filter((file) => file !== '') ?? [];
  if (stated.length > 0) return stated.map((file) => resolve(file));
  const file = join(env.HOME || homedir(), '.kube', 'config');
  if (existsSync(file)) return [file];
  throw new Error(
    `this is no pod with a service account, and there is no ${file}: name a file in kubeconfig, or in KUBECONFIG`,
  );
}

function ofFile({ KubeConfig, loadYaml }: Client, file: string): KubeConfig {
  const text = contentOf(file);
  const config = new KubeConfig();
  try {
    config.loadFromString(text);
    config.makePathsAbsolute(dirname(file));
    config.users = withTokenFiles(config.users, loadYaml(text), dirname(file));
    return config;
  } catch {
    // The words of those who read it quote it.
    throw new Error(
      `${file} is no kubeconfig: kubectl --kubeconfig ${file} config view says where it is wrong`,
    );
  }
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`cannot read the kubeconfig ${file} (${(error as NodeJS.ErrnoException).code})`);
  }
}

const tokenFilesSchema = z.object({
  users: z
    .array(z.object({ name: z.string(), user: z.object({ tokenFile: z.string().optional() }).nullish() }))
    .nullish(),
});

/** `tokenFile`, which client-node passes over; kubectl prefers it to `token`. */
function withTokenFiles(users: KubeConfig['users'], raw: unknown, folder: string): KubeConfig['users'] {
  const entries = tokenFilesSchema.parse(raw).users ?? [];
  return users.map((user) => {
    const { tokenFile } = entries.find(({ name }) => name === user.name)?.user ?? {};
    if (tokenFile === undefined) return user;
    const { token: _, ...others } = user;
    return { ...others, authProvider: ofTokenFile(resolve(folder, tokenFile)) };
  });
}

/** As kubectl does: the first one that has something says what it is. */
function merged(configs: readonly KubeConfig[]): KubeConfig {
  const [first, ...others] = configs as [KubeConfig, ...KubeConfig[]];
  const isNew = (known: readonly { readonly name: string }[]) => (one: { readonly name: string }) =>
    !known.some(({ name }) => name === one.name);
  for (const other of others) {
    first.clusters.push(...other.clusters.filter(isNew(first.clusters)));
    first.users.push(...other.users.filter(isNew(first.users)));
    first.contexts.push(...other.contexts.filter(isNew(first.contexts)));
    first.setCurrentContext(first.getCurrentContext() || other.getCurrentContext());
  }
  return first;
}

function check(config: KubeConfig, files: string): void {
  const name = config.getCurrentContext();
  if (!name) throw new Error(`${files}: there is no current context: name one in context`);
  if (config.getContextObject(name) === null) throw new Error(`${files}: there is no context ${name}`);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error(`${files}: the context ${name} names no cluster that is there`);
  if (config.getCurrentUser() === null)
    throw new Error(`${files}: the context ${name} names no user that is there`);
  if (!URL.canParse(server) || new URL(server).protocol !== 'https:') {
    throw new Error(
      `${files}: the server of the context ${name} is no https:// URL, and secrets go over no other`,
    );
  }
  if (config.getCurrentCluster()?.skipTLSVerify) {
    throw new Error(
      `${files}: the cluster of the context ${name} has insecure-skip-tls-verify, so that anybody on the way could be its server: give ` +
        'its certificate-authority in place of that',
    );
  }
}
