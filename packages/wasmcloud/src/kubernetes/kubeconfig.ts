import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { type OwnUser, ofTokenFile, withOwnLogins } from './kubeconfig-users.js';
import { Plugins, withoutSecrets } from './plugin.js';
import type { KubernetesSettings } from './settings.js';

export type KubeConfigSource = Pick<
  KubernetesSettings,
  'kubeconfig' | 'context' | 'serviceAccountDir' | 'impersonation'
>;
export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the configuration again, from where it was at first. @param stop kills the plugins that it has started */
export type KubeConfigReader = (stop?: AbortSignal) => Promise<KubeConfig>;

/**
 * Finds out where it is written where the cluster is and who we are there: once, since a file that is away for a moment must not
 * make us somebody else, elsewhere. `@kubernetes/client-node` is loaded by the reader, and so by nobody who has no Kubernetes
 * backend.
 *
 * @param secretVariables what plugins are not to see of the environment, beside what is coffer's by its name
 * @returns a reader, which throws an Error with a sentence; what a file holds is in none
 * @throws Error with a sentence: there is nothing to read
 */
export function kubeConfigReader(
  source: KubeConfigSource,
  env: Environment,
  secretVariables: readonly string[] = [],
): KubeConfigReader {
  const { context, serviceAccountDir } = source;
  const pluginEnv = withoutSecrets(env, secretVariables);
  if (isInCluster(source, env)) {
    return async () => ofServiceAccount(await import('@kubernetes/client-node'), serviceAccountDir, env);
  }
  const files = filesOf(source, env);
  return async (stop) => {
    const client = await import('@kubernetes/client-node');
    const config = merged(files.map((file) => ofFile(client, file)));
    config.addAuthenticator(new Plugins(pluginEnv, stop));
    if (context !== undefined) config.setCurrentContext(context);
    check(config, source, files.join(', '));
    return config;
  };
}

/** Reads it once. @throws Error with a sentence */
export const readKubeConfig = async (source: KubeConfigSource, env: Environment): Promise<KubeConfig> =>
  kubeConfigReader(source, env)();

/**
 * The files by which whoever reads or writes them can be coffer to the cluster: those of the configuration, and what they name of
 * the user. A pod's are the kubelet's affair.
 *
 * @throws Error as {@link readKubeConfig}
 */
export async function secretFilesOf(source: KubeConfigSource, env: Environment): Promise<readonly string[]> {
  if (isInCluster(source, env)) return [];
  const { authProvider, keyFile } = (await readKubeConfig(source, env)).getCurrentUser() ?? {};
  const { tokenFile } = (authProvider?.config ?? {}) as { readonly tokenFile?: string };
  return [
    ...filesOf(source, env),
    ...[tokenFile, keyFile].filter((file) => file !== undefined && file !== null),
  ];
}

type Client = typeof import('@kubernetes/client-node');

const isInCluster = (
  { kubeconfig, context, serviceAccountDir }: KubeConfigSource,
  { KUBERNETES_SERVICE_HOST: host }: Environment,
): boolean =>
  kubeconfig === undefined &&
  context === undefined &&
  host !== undefined &&
  existsSync(join(serviceAccountDir, 'token'));

const filesOf = ({ kubeconfig }: KubeConfigSource, env: Environment): readonly string[] =>
  kubeconfig === undefined ? defaultFiles(env) : [resolve(kubeconfig)];

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
    config.users = withOwnLogins(config.users, loadYaml(text), dirname(file));
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

function check(config: KubeConfig, { impersonation }: KubeConfigSource, files: string): void {
  const name = config.getCurrentContext();
  if (!name) throw new Error(`${files}: there is no current context: name one in context`);
  if (config.getContextObject(name) === null) throw new Error(`${files}: there is no context ${name}`);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error(`${files}: the context ${name} names no cluster that is there`);
  const user: OwnUser | null = config.getCurrentUser();
  if (user === null) throw new Error(`${files}: the context ${name} names no user that is there`);
  if (user.impossible) throw new Error(`${files}: the user of the context ${name}: ${user.impossible}`);
  if (user.impersonateUser && impersonation.length > 0) {
    throw new Error(
      `${files}: the user of the context ${name} is another one (as: …), and rules of impersonation take that one's place, with all ` +
        'rights of the first: give coffer a user of its own, without "as"',
    );
  }
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
