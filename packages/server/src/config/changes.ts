import type { ServerConfig } from './config.js';

/** What a running server takes over without a restart. */
const LIVE: ReadonlySet<string> = new Set([
  'logLevel',
  'tls.cert',
  'tls.key',
  'limits.principalRequestsPerSecond',
  'limits.addressRequestsPerSecond',
  'limits.failuresPerMinute',
  'retention',
  'trust.operators',
  'nats.allowOpen',
  'wasmcloud.mappingAccount',
  'wasmcloud.allowUnauthenticatedAdmin',
  'wasmcloud.unsignedAdmin',
]);

/** Settings that differ between two configurations, as `limits.failuresPerMinute`. */
export interface ConfigChanges {
  readonly live: readonly string[];
  readonly needRestart: readonly string[];
}

export function compareConfigs(running: ServerConfig, wanted: ServerConfig): ConfigChanges {
  const before = settingsOf(running);
  const after = settingsOf(wanted);
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter(
    (setting) => before.get(setting) !== after.get(setting),
  );
  // A server that speaks plain HTTP cannot begin to speak TLS, nor the reverse.
  const sameProtocol = (running.tls === undefined) === (wanted.tls === undefined);
  // Nor does one that knows tokens alone begin to know identities, nor the reverse.
  const sameTrust = (running.trust === undefined) === (wanted.trust === undefined);
  // Nor is a door opened or shut.
  const sameNats = (running.nats === undefined) === (wanted.nats === undefined);
  const isLive = (setting: string) =>
    LIVE.has(setting) &&
    (sameProtocol || !setting.startsWith('tls.')) &&
    (sameTrust || !setting.startsWith('trust.')) &&
    (sameNats || !/^(nats|wasmcloud)\./.test(setting));
  return { live: changed.filter(isLive), needRestart: changed.filter((setting) => !isLive(setting)) };
}

/** Every setting that says something, by its path. */
function settingsOf(config: object): Map<string, string> {
  const settings = new Map<string, string>();
  const visit = (path: string, value: unknown) => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [key, inner] of Object.entries(value)) visit(path === '' ? key : `${path}.${key}`, inner);
    } else if (value !== undefined) {
      settings.set(path, JSON.stringify(value));
    }
  };
  visit('', config);
  return settings;
}
