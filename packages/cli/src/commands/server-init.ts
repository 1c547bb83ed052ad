import { join, sep } from 'node:path';
import type { ServerConfig } from '@coffer/server';
import { withSocket } from '../connection.js';
import { during, Failure } from '../failure.js';
import { note, paint, print, printJson, table } from '../output.js';
import { promptPassphrase } from '../passphrase.js';
import { configPath, isThere, trustSection, writeConfig } from '../server-init/config-file.js';
import type { Identities, Made, Names } from '../server-init/identities.js';
import { real } from '../server-init/paths.js';
import { commandFor, shellWord } from '../welcome.js';
import type { ServerOptions } from './server.js';

export interface InitOptions extends ServerOptions {
  readonly identityDir?: string;
  readonly name?: string;
  readonly account?: string;
  readonly user?: string;
  readonly json?: boolean;
}

/**
 * Makes a real installation: identities outside of the state folder, a configuration that trusts them, and the grant by which
 * their user administers. Each step passes over what is there already.
 */
export async function serverInit(options: InitOptions): Promise<void> {
  if (options.dev) throw new Failure('--dev is for trying things out, without identities: leave it out here');
  refuseOtherTrust(options);
  const { keysOf, makeIdentities, storeOf } = await import('../server-init/identities.js');
  const names: Names = {
    operator: options.name ?? 'coffer',
    account: options.account ?? 'main',
    user: options.user ?? 'admin',
  };
  const path = configPath(options.config);
  const wasThere = isThere(path);
  const store = storeOf(names.operator, options.identityDir);
  // What would be wrong with the configuration is told before anything is made.
  const { config, trusted } = wasThere
    ? await configThatIsThere(path, options, store)
    : { config: await configToBe(options, store), trusted: true };
  requireApart(config.stateDir, [store, keysOf(options.identityDir)]);
  const identities = await makeIdentities(names, options.identityDir);
  if (!wasThere) writeConfig(path, config);
  const principal = `nats:${identities.account.key}/${identities.user.key}`;
  const granted = await grant(config, principal);
  if (options.json) {
    return printJson({
      ...identities,
      principal,
      config: path,
      configWritten: !wasThere,
      trusted,
      granted: granted.isNew,
    });
  }
  await report({ identities, principal, path, wasThere, granted });
  if (!trusted) {
    await note(
      `${paint('yellow', `${path} was there already and is left as it is: write this into it, and start the server again`, process.stderr)}\n\n${trustSection(config)}`,
    );
  }
  await print(nextSteps({ config, path, identities, granted, identityDir: options.identityDir }));
}

function refuseOtherTrust({ trustOperator, trustStore }: InitOptions): void {
  const { COFFER_TRUST_OPERATOR, COFFER_TRUST_STORE } = process.env;
  const stated = [
    trustOperator && '--trust-operator',
    trustStore && '--trust-store',
    COFFER_TRUST_OPERATOR && 'COFFER_TRUST_OPERATOR',
    COFFER_TRUST_STORE && 'COFFER_TRUST_STORE',
  ].filter(Boolean);
  if (stated.length === 0) return;
  throw new Failure(
    `this command makes whom the server trusts: leave out ${stated.join(' and ')}, or name an operator that is there with ` +
      '--identity-dir and --name',
  );
}

async function configToBe(options: InitOptions, store: string): Promise<ServerConfig> {
  const { loadConfig } = await import('@coffer/server');
  const env = { ...process.env, COFFER_CONFIG: undefined };
  return loadConfig({ flags: { ...options, config: undefined, trustStore: store }, env });
}

/**
 * What the server will have by a file that is there, which is all that it goes by.
 *
 * @returns `trusted`: nothing is left to be written into it
 */
async function configThatIsThere(
  path: string,
  options: InitOptions,
  store: string,
): Promise<{ readonly config: ServerConfig; readonly trusted: boolean }> {
  const { explainConfig, loadConfig } = await import('@coffer/server');
  const { requireSame, trustsAlready } = await import('../server-init/existing.js');
  const { operatorKeyIn } = await import('../server-init/identities.js');
  const { HOME, XDG_STATE_HOME, XDG_CONFIG_HOME } = process.env;
  const env = { HOME, XDG_STATE_HOME, XDG_CONFIG_HOME };
  const alone = { flags: { config: path }, env };
  const byFile = loadConfig(alone);
  const stated = { flags: { ...options, config: path }, env: process.env };
  requireSame(path, explainConfig, { stated, alone });
  const trusted = trustsAlready(path, byFile, { store, key: operatorKeyIn(store) });
  const { acceptRollback } = options;
  const flags = { config: path, acceptRollback, ...(!trusted && { trustStore: store }) };
  return { config: loadConfig({ flags, env }), trusted };
}

/** A copy of the state folder must not hold what rules over it, nor should a server be able to read it by accident. */
function requireApart(stateDir: string, folders: readonly string[]): void {
  const state = real(stateDir);
  const inside = folders.find((folder) => `${real(folder)}${sep}`.startsWith(`${state}${sep}`));
  if (inside === undefined) return;
  throw new Failure(
    `the identities must not be in the state folder, as ${inside} is: name another folder with --identity-dir`,
  );
}

interface Granted {
  readonly isNew: boolean;
  /** A server that runs on this state folder. */
  readonly running: boolean;
}

/** By the server that has the store open, or, if none has, in the store itself. */
async function grant(config: ServerConfig, principal: string): Promise<Granted> {
  const { grantEverything, storeOwner, withEverything } = await import('@coffer/server');
  const owner = await storeOwner(config.stateDir).catch(() => undefined);
  if (owner === undefined) {
    return { isNew: await grantEverything(config, principal, { promptPassphrase }), running: false };
  }
  const { Admin } = await import('@coffer/client/admin');
  const isNew = await withSocket(join(config.stateDir, 'admin.sock'), async (client) => {
    const admin = new Admin(client);
    const { grants, generation } = await during('failed to read the policy', admin.policy());
    const wanted = withEverything(grants, principal);
    if (wanted === undefined) return false;
    await during('failed to apply the policy', admin.applyPolicy(wanted, { expectedGeneration: generation }));
    return true;
  });
  return { isNew, running: true };
}

async function report({
  identities: { operator, account, user, creds },
  principal,
  path,
  wasThere,
  granted,
}: {
  readonly identities: Identities;
  readonly principal: string;
  readonly path: string;
  readonly wasThere: boolean;
  readonly granted: Granted;
}): Promise<void> {
  const row = (what: string, { name, key, isNew }: Made) => [
    what,
    ` ${name} `,
    key,
    isNew ? ' made' : ' was there',
  ];
  await print(table([row('operator', operator), row('account', account), row('user', user)]));
  await print('');
  await print(
    table([
      ['creds:', ` ${creds}`],
      ['configuration:', ` ${path}${wasThere ? ', was there' : ''}`],
      ['principal:', ` ${principal}, may do everything${granted.isNew ? '' : ', and could before'}`],
    ]),
  );
}

function nextSteps({
  config,
  path,
  identities: { account, creds, keys, signingKey, store },
  granted,
  identityDir,
}: {
  readonly config: ServerConfig;
  readonly path: string;
  readonly identities: Identities;
  readonly granted: Granted;
  readonly identityDir: string | undefined;
}): string {
  const scheme = config.tls === undefined ? 'http' : 'https';
  const coffer = commandFor(config.publicUrl ?? `${scheme}://${config.listen}`);
  const here = commandFor(DEFAULT);
  const start = here(`server --config ${shellWord(path)}`);
  // Without it the account's own key would sign, which cannot be rotated.
  const signer = signingKey === undefined ? '' : ` -K ${signingKey}`;
  const folder = identityDir === undefined ? '' : ` --all-dirs ${shellWord(identityDir)}`;
  return [
    '',
    granted.running ? 'A server runs already: stop it, then type' : 'Type next:',
    `  ${start}`,
    'and in another terminal:',
    `  ${coffer(`--creds ${shellWord(creds)} whoami`)}`,
    `  ${coffer(`--creds ${shellWord(creds)} put hello`)}`,
    'Each program gets a user of its own, and a grant to nats:ACCOUNT/USER in the policy:',
    `  ${here(`identity add user --account ${shellWord(account.name)}${signer} --name billing${folder}`)}`,
    '',
    `The server reads ${store}, in which there is nothing secret. The seeds in ${keys}`,
    'are what everything hangs on: back them up, and keep that of the operator off this machine in the long run.',
  ].join('\n');
}

const DEFAULT = 'http://127.0.0.1:2633';
