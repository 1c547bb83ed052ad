/**
 * Another process that opens a store: `node starter.mjs`, forked. It says `ready`, opens the store in the folder that it is
 * sent, and answers `{opened: true}` or the error's `{code, message}`; then it puts what it is sent as `{put: NAME}`.
 */
import { createPrivateKey, sign } from 'node:crypto';
import { join } from 'node:path';

import { Engine, parseRootKey } from '@coffer/engine';

const socket = { principals: [{ id: 'socket', kind: 'socket' }], address: 'unix' };
let engine;

/** The signer of support.ts, from node's own cryptography. */
function createSigner(seed) {
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  return { publicKey: 'of the store', sign: (message) => sign(null, message, key) };
}

process.on('message', async ({ folder, put }) => {
  try {
    if (put === undefined) {
      engine = await Engine.open({
        stateDir: join(folder, 'state'),
        rootKey: parseRootKey(`file:${join(folder, 'root.key')}`),
        createSigner,
        storage: { minFreeBytes: 0 },
        onFatal: (error) => {
          throw error;
        },
      });
      process.send({ opened: true });
    } else {
      process.send({ version: await engine.put(socket, put, Buffer.from('value')) });
    }
  } catch ({ code, message }) {
    process.send({ code, message });
  }
});
process.on('disconnect', () => process.exit());
process.send('ready');
