/**
 * Another process that moves a store: `node mover.mjs`, forked, told `{stateDir, rootKey, bucket, urls, to}`. It says `{records}` as
 * it goes on, and at the end `{moved: true}` or the error's `{code, message}`.
 */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';

import { migrateToEmbedded, migrateToJetStream, parseRootKey } from '@coffer/engine';
import { connect } from '@nats-io/transport-node';
import { moveOptions } from './move-options.mjs';

/** The signer of the engine's tests, from node's own cryptography. */
function createSigner(seed) {
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return {
    publicKey: spki.subarray(-32).toString('hex'),
    sign: (message) => sign(null, message, key),
  };
}

process.on('message', async ({ stateDir, rootKey, bucket, urls, to }) => {
  const move = to === 'embedded' ? migrateToEmbedded : migrateToJetStream;
  try {
    const how = { servers: urls, maxReconnectAttempts: -1, reconnectTimeWait: 100, timeout: 2_000 };
    const onProgress = ({ records }) => process.send({ records });
    const place = { stateDir, rootKey: parseRootKey(rootKey), connect: () => connect(how), bucket };
    await move(moveOptions({ ...place, createSigner, onProgress }));
    process.send({ moved: true }, () => process.exit());
  } catch ({ code, message }) {
    process.send({ code, message }, () => process.exit());
  }
});
process.on('disconnect', () => process.exit());
process.send('ready');
