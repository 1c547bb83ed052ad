import { createServer } from 'node:net';
import type { ServerConfig } from '../config/config.js';
import { formatAddress, isLoopback, listenAddress } from '../listen/address.js';
import { listenTcp } from '../listen/bind.js';
import { type Finding, looking, ok, warning } from './finding.js';

const SUBJECT = 'address';

/**
 * Whether the address can be listened on, which is tried for a moment unless a server has it, and who reaches it.
 *
 * @param taken a server that runs on this state folder has it already
 */
export async function checkAddress(config: ServerConfig, taken: boolean): Promise<readonly Finding[]> {
  const { listen, insecureHttp, tls } = config;
  return looking(SUBJECT, async () => {
    const address = listenAddress(listen);
    if (address === undefined) return ok(SUBJECT, 'none, but for the admin socket');
    const where = formatAddress(address);
    if (!taken && address.port !== 0) {
      const server = createServer();
      await listenTcp(server, address);
      await new Promise((resolve) => server.close(resolve));
    }
    if (isLoopback(address.host)) return ok(SUBJECT, `${where}, for this machine's own programs`);
    if (tls !== undefined) return ok(SUBJECT, `${where}, over TLS`);
    const clear = `${where} serves without TLS: everybody on the way reads tokens and secrets`;
    // Without --insecure-http this is a problem, which the configuration's own check names.
    return insecureHttp ? warning(SUBJECT, `${clear}, unless a proxy before it adds TLS`) : [];
  });
}
