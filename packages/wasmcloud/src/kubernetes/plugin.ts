import { type ChildProcess, spawn } from 'node:child_process';
import type { RequestOptions } from 'node:https';
import type { KubeConfig, User } from '@kubernetes/client-node';
import { z } from 'zod';

/** A program that prints credentials, `exec` of a kubeconfig. Source: client-go's exec plugins (client.authentication.k8s.io/v1). */
export interface Plugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** By this name a user of a kubeconfig has one of ours. client-node runs them without an end, and with all that coffer knows. */
export const PLUGIN = 'plugin of coffer';

const LONGEST_MS = 20_000;
const LARGEST_BYTES = 1024 * 1024;

const credentialsSchema = z.object({
  status: z.object({
    token: z.string().min(1).optional(),
    clientCertificateData: z.string().min(1).optional(),
    clientKeyData: z.string().min(1).optional(),
    expirationTimestamp: z.string().optional(),
  }),
});
type Credentials = z.output<typeof credentialsSchema>['status'];

/** Why there are no credentials, in a word; nothing of what the plugin printed, which may be anything. */
export class PluginError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

type Authenticator = Parameters<KubeConfig['addAuthenticator']>[0];

/** Runs plugins for a configuration, and keeps what they give until it ends, or the configuration does. */
export class Plugins implements Authenticator {
  readonly #env: NodeJS.ProcessEnv;
  readonly #stop: AbortSignal | undefined;
  readonly #longestMs: number;
  readonly #kept = new Map<string, Credentials>();

  /** @param env what plugins may see @param stop kills those that run @param longestMs after which one is killed */
  constructor(env: NodeJS.ProcessEnv, stop?: AbortSignal, longestMs = LONGEST_MS) {
    this.#env = env;
    this.#stop = stop;
    this.#longestMs = longestMs;
  }

  isAuthProvider({ authProvider }: User): boolean {
    return authProvider?.name === PLUGIN;
  }

  async applyAuthentication({ name, authProvider }: User, options: RequestOptions): Promise<void> {
    const { token, clientCertificateData, clientKeyData } = await this.#of(name, authProvider.config);
    if (clientCertificateData) options.cert = clientCertificateData;
    if (clientKeyData) options.key = clientKeyData;
    if (token) options.headers = { ...(options.headers as object), Authorization: `Bearer ${token}` };
  }

  async #of(user: string, plugin: Plugin): Promise<Credentials> {
    const kept = this.#kept.get(user);
    if (kept && !(Date.parse(kept.expirationTimestamp ?? '') <= Date.now())) return kept;
    const found = read(await this.#printed(plugin));
    this.#kept.set(user, found);
    return found;
  }

  /** In a session of its own, without a terminal to ask a person at, and so that its children end with it. */
  #printed({ apiVersion, command, args, env }: Plugin): Promise<string> {
    const stop = this.#stop;
    return new Promise((resolve, reject) => {
      const request = JSON.stringify({ apiVersion, kind: 'ExecCredential', spec: { interactive: false } });
      const child = spawn(command, args, {
        env: { ...this.#env, KUBERNETES_EXEC_INFO: request, ...env },
        stdio: ['ignore', 'pipe', 'ignore'],
        detached: true,
      });
      const chunks: Buffer[] = [];
      let size = 0;
      let why: string | undefined;
      const end = (reason: string) => {
        why ??= reason;
        child.stdout.destroy();
        kill(child);
      };
      const late = () => end(`its plugin had not ended after ${this.#longestMs / 1000} s`);
      const timer = setTimeout(late, this.#longestMs);
      const onStop = () => end('the backend is closed');
      stop?.addEventListener('abort', onStop, { once: true });
      if (stop?.aborted) onStop();
      child.stdout.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > LARGEST_BYTES) end('its plugin printed more than any credentials');
      });
      child.once('error', ({ code }: NodeJS.ErrnoException) => {
        why ??= `its plugin cannot be run: ${code}`;
      });
      child.once('close', (code) => {
        clearTimeout(timer);
        stop?.removeEventListener('abort', onStop);
        if (why === undefined && code !== 0) why = `its plugin ended with ${code ?? 'a signal'}`;
        if (why === undefined) resolve(Buffer.concat(chunks).toString('utf8'));
        else reject(new PluginError(why));
      });
    });
  }
}

function read(text: string): Credentials {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new PluginError('its plugin printed no JSON');
  }
  const { data } = credentialsSchema.safeParse(json);
  const { token, clientCertificateData: cert, clientKeyData: key } = data?.status ?? {};
  if (data && (token || (cert && key))) return data.status;
  throw new PluginError('its plugin printed no credentials');
}

/** With all that it has started. */
function kill({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

const OWN = /^(COFFER|SV)_|^BACKEND_SEED$|_XKEY_SEED$/;
/** Of an nkey: whatever its variable is called, it is no plugin's. */
const SEED = /^S[A-Z2-7]{57}$/;

/** The environment without what is coffer's own. @param secret names of further variables */
export const withoutSecrets = (env: NodeJS.ProcessEnv, secret: readonly string[] = []): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(env).filter(
      ([name, value = '']) => !OWN.test(name) && !secret.includes(name) && !SEED.test(value.trim()),
    ),
  );
