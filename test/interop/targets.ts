import { CofferServer, SetecServer, withPassword } from '../support/servers.mjs';

/** A server that setec's own clients are run against. */
export interface Target extends AsyncDisposable {
  readonly kind: 'setec' | 'coffer';
  /** For a caller with every right: what SETEC_SERVER is set to. */
  readonly url: string;
  /** For a caller with `LIMITED` rights; absent where there is but one caller (`--dev`). */
  readonly limitedUrl?: string;
  /** What a client needs besides the URL: whom to trust. */
  readonly env?: Readonly<Record<string, string>>;
}

const EVERY_ACTION = ['get', 'info', 'put', 'create-version', 'activate', 'delete'];

/** What the limited caller may do. */
export const LIMITED = [
  { actions: ['get', 'info'], secrets: ['shared/*'] },
  { actions: ['get'], secrets: ['get-only/*'] },
  { actions: ['info'], secrets: ['info-only/*'] },
  { actions: ['put'], secrets: ['inbox'] },
];

/**
 * The same checks run against each of these. The first is the real setec server: it proves the checks themselves,
 * so that what coffer passes is setec's behaviour and not our idea of it.
 */
export const TARGETS: readonly { readonly name: string; start(): Promise<Target> }[] = [
  { name: 'the real setec server', start: startSetec },
  { name: 'coffer --dev', start: startDevelopment },
  { name: 'coffer with tokens', start: () => startProduction() },
];

/** For clients, which have to trust it. On the wire it differs in nothing else. */
export const OVER_TLS = { name: 'coffer over TLS', start: () => startProduction(true) };

/** All that a server can say of what it does is looked through for values, see `CofferServer.stop`. */
const TRACE = { COFFER_LOG: 'trace' };

async function startSetec(): Promise<Target> {
  const limited = LIMITED.map(({ actions, secrets }) => ({ action: actions, secret: secrets }));
  const server = await SetecServer.start({ limited });
  return {
    kind: 'setec',
    url: server.url,
    limitedUrl: server.limitedUrl,
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

async function startDevelopment(): Promise<Target> {
  const server = await CofferServer.start({ dev: true, env: TRACE });
  return { kind: 'coffer', url: server.url, [Symbol.asyncDispose]: async () => void (await server.stop()) };
}

async function startProduction(tls = false): Promise<Target> {
  const server = await CofferServer.start({ env: TRACE, tls });
  const everything = await server.createToken('everything');
  const limited = await server.createToken('limited');
  await server.applyPolicy([
    { to: [everything.principal], actions: EVERY_ACTION, secrets: ['*'] },
    ...LIMITED.map((grant) => ({ to: [limited.principal], ...grant })),
  ]);
  return {
    kind: 'coffer',
    url: withPassword(server.url, everything.token),
    limitedUrl: withPassword(server.url, limited.token),
    // Go reads the first, node the second.
    env: tls ? { SSL_CERT_FILE: server.ca, NODE_EXTRA_CA_CERTS: server.ca } : {},
    [Symbol.asyncDispose]: async () => void (await server.stop()),
  };
}
