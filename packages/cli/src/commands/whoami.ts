import { type ConnectionOptions, withClient } from '../connection.js';
import { during } from '../failure.js';
import { grantLine } from '../grants.js';
import { print, printJson, table } from '../output.js';
import { displayName, quote } from '../quote.js';

export async function whoami(options: ConnectionOptions & { json?: boolean }): Promise<void> {
  const { address, answer } = await withClient(options, async (client) => ({
    address: client.server,
    answer: await during('failed to ask who you are', client.whoami()),
  }));
  if (options.json) return printJson(answer);
  const { principals, grants, server } = answer;
  await print(
    table([
      ...principals.map(({ id, name }, index) => [
        index === 0 ? 'You are:' : '',
        name === undefined || name === id ? displayName(id) : `${displayName(id)} (${quote(name)})`,
      ]),
      ['Server:', `${address}, coffer ${server.version}${server.development ? ', for development' : ''}`],
      ['Server key:', server.serverKey],
      ['Store:', server.storeId],
      ...grants.map((grant, index) => [index === 0 ? 'You may:' : '', grantLine(grant)]),
      ...(grants.length > 0 ? [] : [['You may:', 'nothing, until a grant names you']]),
    ]),
  );
}
