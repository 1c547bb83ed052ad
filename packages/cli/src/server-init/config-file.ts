import { existsSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { makeFolder, StoreError } from '@coffer/identity';
import type { ServerConfig } from '@coffer/server';
import { stringify } from 'yaml';
import { Failure, systemReason } from '../failure.js';

/** Where a configuration is written, unless somebody says otherwise: beside the root key's default place. */
export function configPath(stated: string | undefined): string {
  if (stated !== undefined) return resolve(stated);
  const { COFFER_CONFIG, XDG_CONFIG_HOME, HOME } = process.env;
  if (COFFER_CONFIG) return resolve(COFFER_CONFIG);
  const base = XDG_CONFIG_HOME?.startsWith('/') ? XDG_CONFIG_HOME : join(HOME || homedir(), '.config');
  return resolve(base, 'coffer', 'coffer.yaml');
}

export const isThere = (path: string): boolean => existsSync(path);

/** Writes a configuration by which a server trusts the operator of a store. A file that is there is never written over. */
export function writeConfig(path: string, config: ServerConfig): void {
  try {
    makeFolder(dirname(path));
    writeFileSync(path, HEADER + stringify(settingsOf(config), { lineWidth: 0 }), {
      flag: 'wx',
      mode: 0o600,
    });
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw new Failure(`cannot write ${path}: ${systemReason(error)}`);
  }
}

/** What of the trust must stand in a configuration, for who writes it. */
export const trustSection = ({ trust }: Pick<ServerConfig, 'trust'>): string =>
  stringify({ trust: { resolver: trust?.resolver } }, { lineWidth: 0 });

const HEADER = '# Made by "coffer server init". docs/configuration.md has every key that can stand here.\n';

/** What decides which store is opened and how callers reach it; the rest has defaults. */
function settingsOf({
  listen,
  stateDir,
  rootKey,
  publicUrl,
  insecureHttp,
  tls,
  trust,
}: ServerConfig): object {
  return {
    listen,
    stateDir,
    rootKey: absolute(rootKey),
    ...(publicUrl && { publicUrl }),
    ...(insecureHttp && { insecureHttp }),
    ...(tls && { tls: { cert: tls.cert, key: tls.key } }),
    trust: { resolver: trust?.resolver },
  };
}

/** A server may be started in another folder than this command. */
export function absolute(rootKey: string): string {
  const [, kind = '', path = ''] = /^((?:passphrase:|xkey-seed:)?file:)(.+)$/.exec(rootKey) ?? [];
  return path === '' ? rootKey : `${kind}${resolve(path)}`;
}
