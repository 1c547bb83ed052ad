import { storeOwner } from '@coffer/engine';
import type { ConfigSources, ServerConfig } from '../config/config.js';
import { CONFIG_VARIABLES, type ExplainedConfig, explainConfig } from '../config/explain.js';
import { checkAddress } from './address.js';
import { checkBackendSetup } from './backends.js';
import { checkCertificate } from './certificate.js';
import { checkDisk } from './disk.js';
import { type Finding, ok, problem, warning } from './finding.js';
import { checkStateFolder } from './folder.js';
import { checkKubeconfigs } from './kubeconfigs.js';
import { checkNatsSetup } from './nats.js';
import { checkRootKey } from './root-key.js';
import { checkStorageSetup } from './storage.js';
import { checkTrusted } from './trust.js';

export interface CheckedConfig extends ExplainedConfig {
  readonly findings: readonly Finding[];
  /** Which process has the store open, in words. */
  readonly owner: string | undefined;
}

/** Reads the configuration as a server would, and looks at all that it names. Starts nothing, and changes nothing. */
export async function checkConfiguration(sources: ConfigSources, now = new Date()): Promise<CheckedConfig> {
  const explained = explainConfig(sources);
  const { config } = explained;
  const owner = await storeOwner(config.stateDir).catch(() => undefined);
  const findings = [
    ...checkSettings(explained),
    ...checkIsRead(explained),
    ...checkVariables(sources.env, config),
    ...(await checkAddress(config, owner !== undefined)),
    ...(await checkCertificate(config, now)),
    ...(await checkStateFolder(config.stateDir)),
    ...(await checkRootKey(config, sources.env)),
    ...(await checkTrusted(config, now)),
    ...(await checkNatsSetup(config)),
    ...(await checkBackendSetup(config)),
    ...(await checkStorageSetup(config)),
    ...(await checkDisk(config)),
    ...(await checkKubeconfigs(config, sources.env)),
  ];
  return { ...explained, findings, owner };
}

const SUBJECT = 'configuration';

function checkSettings({ problems, file, config }: ExplainedConfig): Finding[] {
  const { bodyBytes, valueBytes } = config.limits;
  const largest = Math.floor((bodyBytes * 3) / 4);
  const small =
    largest < valueBytes
      ? [
          warning(
            SUBJECT,
            `limits.bodyBytes (${bodyBytes}) lets no value of more than ${largest} bytes pass, and limits.valueBytes is ` +
              `${valueBytes}: raise it, or leave it out`,
          ),
        ]
      : [];
  const found = [...problems.map(({ message }) => problem(SUBJECT, message)), ...small];
  if (found.length > 0) return found;
  return [
    ok(SUBJECT, file === undefined ? 'no file; flags, environment and defaults' : `${file.path} is right`),
  ];
}

/** A typing mistake in its name would otherwise show a machine on which all is well, and nothing there yet. */
function checkIsRead({ file }: ExplainedConfig): Finding[] {
  if (file === undefined || file.problems.length === 0 || Object.keys(file.settings).length > 0) return [];
  return [
    warning(
      SUBJECT,
      `nothing was taken from ${file.path}: all that is said here is of flags, environment and defaults, and not of the server that it is for`,
    ),
  ];
}

/** Of other programs of ours: the client's and this command's. */
const OTHER_VARIABLES = [
  'COFFER_SERVER',
  'COFFER_TOKEN',
  'COFFER_CREDS',
  'COFFER_AUDIENCE',
  'COFFER_INSECURE_HTTP',
  'COFFER_DEBUG',
  'COFFER_CACHE',
];

/** A misspelt variable is silently nothing. */
function checkVariables(env: ConfigSources['env'], { rootKey }: ServerConfig): Finding[] {
  const known = new Set([
    ...CONFIG_VARIABLES,
    ...OTHER_VARIABLES,
    rootKey.replace(/^(passphrase|xkey-seed):env:/, ''),
  ]);
  return Object.keys(env)
    .filter((name) => name.startsWith('COFFER_') && !known.has(name))
    .map((name) =>
      warning('environment', `${name} is set and means nothing to coffer: look for a misspelling`),
    );
}
