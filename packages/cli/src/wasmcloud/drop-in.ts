import type { PartialSettings, RunningServer, ServerConfig } from '@coffer/server';
import { subjectBase } from '@coffer/wasmcloud';
import { serve } from '../commands/serve.js';
import { Failure } from '../failure.js';
import { paint } from '../output.js';
import { given, type PlaceOptions, requireAccounts, requireTrust, trustSettings } from './run.js';

/** What `coffer wasmcloud vault` and `coffer wasmcloud kube` have in common: a server of one backend. */

export type Backend = NonNullable<PartialSettings['backends']>[number];
type Stated<B> = B extends { trust?: unknown } ? Omit<B, 'trust'> : never;

export interface DropIn {
  readonly nats: NonNullable<PartialSettings['nats']>;
  readonly backend: Stated<Backend>;
  readonly jwksListen?: string | undefined;
  /** Of the user on NATS, in place of a file. They are wiped when the server has ended. */
  readonly creds?: Buffer | undefined;
  readonly transitSeed?: Uint8Array | undefined;
  readonly signingSeed?: Uint8Array | undefined;
}

export async function runDropIn(options: PlaceOptions, dropIn: DropIn): Promise<void> {
  const { creds, transitSeed, signingSeed } = dropIn;
  try {
    requireAccounts(options);
    await requireTrust(options);
    const { loadConfig } = await import('@coffer/server');
    const read = () => {
      const settings = settingsOf(options, dropIn);
      return withCreds(loadConfig({ flags: flagsOf(options), env: process.env, settings }), creds);
    };
    await serve({
      read,
      welcome,
      start: { ...(transitSeed && { transitSeed }), ...(signingSeed && { signingSeed }) },
    });
  } finally {
    creds?.fill(0);
    transitSeed?.fill(0);
    signingSeed?.fill(0);
  }
}

const flagsOf = (options: PlaceOptions) => ({
  listen: options.listen,
  stateDir: options.stateDir,
  rootKey: options.rootKey,
  config: options.config,
  acceptRollback: options.acceptRollback,
  trustOperator: options.trustedOperator,
  trustStore: options.trustStore,
});

/** The flags, as a configuration file would say them. */
function settingsOf(
  options: PlaceOptions,
  { nats, backend, jwksListen }: DropIn,
): { over: PartialSettings; under: PartialSettings } {
  const { trust, allowOpenNats: allowOpen } = options;
  return {
    over: {
      nats: given({ ...nats, allowOpen }),
      wasmcloud: { serve: false },
      backends: [{ ...backend, ...(trust && { trust }) } as Backend],
      ...(jwksListen !== undefined && { jwksListen }),
      ...trustSettings(options),
    },
    under: { listen: 'none', nats: { servers: ['127.0.0.1:4222'] } },
  };
}

/** No file holds them. */
function withCreds(config: ServerConfig, creds: Buffer | undefined): ServerConfig {
  if (creds === undefined || config.nats === undefined) return config;
  return { ...config, nats: { ...config.nats, creds: undefined, heldCreds: () => Buffer.from(creds) } };
}

/** As {@link said}, of a seed: whatever this process starts does not get it. */
export function saidSeed(flag: string | undefined, variable: string): string | undefined {
  const seed = said(flag, variable);
  delete process.env[variable];
  return seed;
}

/** The first of a flag and its variables that says something. */
export const said = (flag: string | undefined, ...variables: readonly string[]): string | undefined =>
  flag ?? variables.map((name) => process.env[name]).find((value) => value);

/** @throws Failure */
export function needed(value: string | undefined, flag: string, variable: string): string {
  if (value !== undefined) return value;
  throw new Failure(`${flag}, or ${variable}, is missing`);
}

function welcome(running: RunningServer, config: ServerConfig): string {
  const [backend] = config.backends ?? [];
  if (backend === undefined) return '';
  const { keysAddress: keys } = running;
  const rows = [
    ['subjects:', `${subjectBase(backend)}.>`],
    ['queue group:', backend.queueGroup],
    ['grants:', backend.grants === 'upstream' ? 'none: what lies behind decides' : 'needed as well'],
    ...(keys === undefined
      ? []
      : [['keys:', `http://${keys.host}:${keys.port}/.well-known/keys/${encodeURIComponent(backend.name)}`]]),
    ['state folder:', config.stateDir],
    ['admin socket:', running.socketPath],
  ];
  const problem = running.notServing();
  return [
    problem === undefined
      ? `coffer serves ${paint('bold', backend.name)} (${backend.kind}) to wasmCloud, over NATS`
      : paint(
          'yellow',
          `coffer will serve ${backend.name} to wasmCloud as soon as it can over NATS, and cannot yet: ${problem}`,
        ),
    ...rows.map(([label = '', text]) => `  ${label.padEnd(15)} ${text}`),
  ].join('\n');
}
