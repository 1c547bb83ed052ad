import { resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { z } from 'zod';
import { PLUGIN, type Plugin } from './plugin.js';

const execSchema = z.object({
  apiVersion: z.string().default('client.authentication.k8s.io/v1'),
  command: z.string().min(1),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({ name: z.string(), value: z.string() })).nullish(),
  interactiveMode: z.string().optional(),
});

const userSchema = z.looseObject({ tokenFile: z.string().optional(), exec: execSchema.nullish() });

const usersSchema = z.object({
  users: z.array(z.object({ name: z.string(), user: userSchema.nullish() })).nullish(),
});

/** A user of a kubeconfig, and what of it cannot be done. */
export type OwnUser = KubeConfig['users'][number] & { readonly impossible?: string | undefined };

/** Read again every minute, as the kubelet puts a new one there before the old one ends. */
export const ofTokenFile = (tokenFile: string) => ({ name: 'tokenFile', config: { tokenFile } });

/**
 * The users of a file, with what client-node passes over or has a way of its own with: `tokenFile`, which kubectl prefers to
 * `token`, and `exec`.
 *
 * @param raw the file's content @param folder the file's
 */
export function withOwnLogins(users: KubeConfig['users'], raw: unknown, folder: string): OwnUser[] {
  const entries = usersSchema.parse(raw).users ?? [];
  return users.map((user) => {
    const entry = entries.find(({ name }) => name === user.name)?.user ?? {};
    return { ...withLogin(user, entry, folder), impossible: impossibleIn(entry) };
  });
}

type Entry = z.output<typeof userSchema>;

function withLogin(user: KubeConfig['users'][number], { tokenFile, exec }: Entry, folder: string): OwnUser {
  const { exec: _, ...rest } = user;
  if (tokenFile !== undefined) {
    const { token: __, ...others } = rest;
    return { ...others, authProvider: ofTokenFile(resolve(folder, tokenFile)) };
  }
  if (!exec) return user;
  const { apiVersion, command, args, env } = exec;
  const plugin: Plugin = {
    apiVersion,
    // As kubectl does: a name is looked for in PATH, a path begins where the file is.
    command: command.includes('/') ? resolve(folder, command) : command,
    args: args ?? [],
    env: Object.fromEntries((env ?? []).map(({ name, value }) => [name, value])),
  };
  return { ...rest, authProvider: { name: PLUGIN, config: plugin } };
}

const PASSED_OVER = ['as-groups', 'as-uid', 'as-user-extra'];

/** A sentence, where to go on would be as somebody else than the file says, or without an end. */
function impossibleIn(entry: Entry): string | undefined {
  const passedOver = PASSED_OVER.find((name) => entry[name] !== undefined && entry[name] !== null);
  if (passedOver) {
    return `${passedOver} is not known here: give coffer a user of its own, and let rules of impersonation say the rest`;
  }
  const { name } = (entry['auth-provider'] ?? { name: 'oidc' }) as { readonly name?: unknown };
  if (name !== 'oidc') {
    return `the auth-provider ${name} is not known here, as in kubectl since 1.26: exec has taken its place`;
  }
  if (entry.exec?.interactiveMode === 'Always') {
    return 'its plugin wants a person to answer (interactiveMode: Always), and a server has none';
  }
  return undefined;
}
