/** The service of the README: it has the current password whenever it needs it. */
import { createServer } from 'node:http';
import { Client, Store } from '@coffer/client';

const store = await Store.open({ client: Client.fromEnv(), secrets: ['prod/db/password'] });
const password = store.secret('prod/db/password');

store.on('update', ({ name, version }) => console.log(`${name} is at version ${version} now`));

const server = createServer((_, response) => {
  response.end(`logged in with ${password.reveal().length} characters, version ${password.version}\n`);
});
server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () =>
  console.log('listening on', server.address()),
);
