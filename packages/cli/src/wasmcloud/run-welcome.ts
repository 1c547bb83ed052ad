import type { RunningServer, ServerConfig } from '@coffer/server';
import { subjectBase } from '@coffer/wasmcloud';
import { paint } from '../output.js';
import { commandFor } from '../welcome.js';

/** What `coffer wasmcloud run` says when it serves: what, for whom, and what to type next. */
export function runWelcome(running: RunningServer, config: ServerConfig): string {
  const { wasmcloud, nats } = config;
  const onTcp = running.address === undefined ? [] : [['also over HTTP:', running.url]];
  const rows = [
    ['subjects:', `${subjectBase(wasmcloud)}.>`],
    ['queue group:', wasmcloud.queueGroup],
    ['NATS:', (nats?.servers ?? []).map(withoutLogin).join(', ')],
    ['transit key:', currentTransitKey(running, wasmcloud.name)],
    ['trust:', trustOf(config)],
    ['mappings under:', mappingsOf(config)],
    ['state folder:', config.stateDir],
    ['admin socket:', running.socketPath],
    ...onTcp,
  ];
  const coffer = commandFor('http://127.0.0.1:2633');
  const socket = commandFor(`unix:${running.socketPath}`);
  const which = whichBackend(config);
  const problem = running.notServing();
  return [
    problem === undefined
      ? `coffer serves ${paint('bold', wasmcloud.name)} to wasmCloud, over NATS`
      : paint(
          'yellow',
          `coffer will serve ${wasmcloud.name} to wasmCloud as soon as it can over NATS, and cannot yet: ${problem}`,
        ),
    ...rows.map(([label = '', text]) => `  ${label.padEnd(15)} ${text}`),
    '',
    ...(wasmcloud.trust === 'self-issued'
      ? [
          paint(
            'yellow',
            'SELF-ISSUED: any component gets what its own word lets it have, whoever signed it. For a migration alone.',
          ),
          '',
        ]
      : []),
    'Type next, in another terminal:',
    `  ${coffer(`wasmcloud put db-password${which}`)}`,
    `  ${coffer(`wasmcloud add-mapping M… --secret db-password${which}`)}`,
    ...(nats?.allowOpen && !wasmcloud.allowUnauthenticatedAdmin
      ? ['Where NATS lets everybody in, these need --creds FILE, or --allow-unauthenticated-admin here.']
      : []),
    'Whoever may open the admin socket administers it, without NATS:',
    `  ${socket('policy show')}`,
  ].join('\n');
}

/** The options by which other commands find the backend, where they need any. */
function whichBackend({ wasmcloud, nats }: ServerConfig): string {
  const { prefix, name } = wasmcloud;
  const address = (nats?.servers ?? []).map(withoutLogin).join(',');
  return [
    name === 'nats-kv' ? '' : ` --name ${name}`,
    prefix === 'wasmcloud.secrets' ? '' : ` --subject-base ${prefix}`,
    ['127.0.0.1:4222', 'nats://127.0.0.1:4222'].includes(address) ? '' : ` --nats-address ${address}`,
    nats?.creds === undefined ? '' : ' --nats-creds-file ADMIN.creds',
    wasmcloud.unsignedAdmin === 'refused' && nats?.creds !== undefined ? ' --sign' : '',
    nats?.nkey === undefined ? '' : ' --nats-nkey-file ADMIN.nk',
  ].join('');
}

function currentTransitKey({ engine }: RunningServer, backend: string): string {
  const keys = engine.transitKeys(backend);
  for (const { seed } of keys) seed.fill(0);
  return keys[0]?.publicKey ?? 'none yet';
}

function trustOf({ trust, wasmcloud }: ServerConfig): string {
  const { operators = [], accounts = [], resolver } = trust ?? {};
  const named = [
    ...operators.map((one) => `operator ${one.startsWith('eyJ') ? 'by its token' : one}`),
    ...(operators.length === 0 && resolver?.store !== undefined ? [`the operator of ${resolver.store}`] : []),
    ...accounts.map((account) => `account ${account}`),
    ...(wasmcloud.trust === 'self-issued' ? ['any component on its own word'] : []),
  ];
  return named.join(', ');
}

/** To whom the server takes a key in a mapping to belong. */
function mappingsOf({ trust, wasmcloud }: ServerConfig): string {
  if (wasmcloud.mappingAccount !== undefined) return `account ${wasmcloud.mappingAccount}`;
  if (trust === undefined) return 'the component’s own word';
  const { operators, accounts, resolver } = trust;
  const [only, ...others] = operators.length === 0 && resolver?.store === undefined ? accounts : [];
  return only !== undefined && others.length === 0
    ? `account ${only}`
    : 'nobody yet: --mapping-account A… says which of the accounts signs components';
}

/** Without what may be secret in a URL. */
const withoutLogin = (url: string): string => url.replace(/^((?:\w+:\/\/)?)[^@/\s]*@/, '$1');
