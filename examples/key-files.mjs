/**
 * An HTTPS server that had its certificate and key in files. They come from one secret, `prod/web/tls`, which holds both as
 * PEM; a renewed certificate is used from the next connection on, without a restart. With TLS_FILE they come from
 * a file still.
 *
 *   PORT=8443 node key-files.mjs
 */
import { createServer } from 'node:https';
import { Client, StaticFile, Store } from '@coffer/client';

const NAME = 'prod/web/tls';
const file = process.env.TLS_FILE;

const store = file ? undefined : await Store.open({ client: Client.fromEnv(), secrets: [NAME] });
const tls = store?.secret(NAME) ?? new StaticFile(String(file));

const server = createServer(certificate(), (_, response) => response.end('hello\n'));
store?.on('update', () => {
  server.setSecureContext(certificate());
  console.log(`the certificate is that of version ${tls.version}`);
});
store?.on('error', (error) => console.error(error.message));

server.listen(Number(process.env.PORT ?? 8443), '127.0.0.1', () =>
  console.log('listening on', server.address()),
);

/** Of what is PEM OpenSSL takes the part that it looks for. */
function certificate() {
  const pem = Buffer.from(tls.get());
  return { cert: pem, key: pem };
}
