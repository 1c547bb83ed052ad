/**
 * Signs what is on standard input, and verifies what was signed with this key or an earlier one: the active version of
 * the secret signs, any version verifies. A key goes out of use when its version is deleted.
 *
 *   echo hello | node keyring.mjs sign          prints VERSION:MAC
 *   echo hello | node keyring.mjs verify MAC
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { Client, Store } from '@coffer/client';

const NAME = 'prod/billing/signing-key';

const store = await Store.open({ client: Client.fromEnv(), secrets: [NAME] });
const keys = await store.keyring(NAME);

const [command, signature = ''] = process.argv.slice(2);
const message = await buffer(process.stdin);
if (command === 'sign') console.log(sign(message));
else if (!verify(message, signature)) process.exitCode = 1;

await store.close();

function sign(message) {
  const { version, value } = keys.active;
  return `${version}:${mac(value, message).toString('hex')}`;
}

/** The version stands beside the MAC, so that one key is tried; where it does not, try `keys.all()`. */
function verify(message, signature) {
  const [version, hex = ''] = signature.split(':');
  const key = keys.get(Number(version));
  if (key === undefined) return false;
  const expected = mac(key, message);
  const given = Buffer.from(hex, 'hex');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function mac(key, message) {
  return createHmac('sha256', key).update(message).digest();
}
