import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createAccount, createOperator, createUser } from '@nats-io/nkeys';

// Plain JavaScript, since bench/ runs without a build; the contract stands in nats-trust.d.mts.

export function newTrust(folder) {
  const operator = createOperator();
  const accounts = { APP: createAccount(), SYS: createAccount() };
  const publicKeys = Object.entries(accounts).map(([name, keys]) => [name, keys.getPublicKey()]);
  const tokens = publicKeys.map(([name, key]) => [
    key,
    token(operator, name, key, { type: 'account', limits: name === 'APP' ? APP_LIMITS : LIMITS }),
  ]);
  const system = accounts.SYS.getPublicKey();
  const self = token(operator, 'O', operator.getPublicKey(), { type: 'operator', system_account: system });
  const preloaded = tokens.map(([key, text]) => `  ${key}: ${text}`);
  const creds = Object.fromEntries(
    Object.entries(accounts).map(([name, keys]) => {
      const file = folder.join(`${name.toLowerCase()}.creds`);
      writeFileSync(file, newCreds(keys, name), { mode: 0o600 });
      return [name, file];
    }),
  );
  return {
    config: [
      `operator: ${self}`,
      `system_account: ${system}`,
      'resolver: MEMORY',
      'resolver_preload: {',
      ...preloaded,
      '}',
    ],
    appCreds: creds.APP,
    systemCreds: creds.SYS,
  };
}

const LIMITS = {
  ...{ subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 },
};
const APP_LIMITS = { ...LIMITS, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

function newCreds(account, name) {
  const user = createUser();
  const claims = { type: 'user', subs: -1, data: -1, payload: -1, pub: {}, sub: {} };
  const text = token(account, name, user.getPublicKey(), claims);
  const seed = Buffer.from(user.getSeed()).toString();
  return [
    '-----BEGIN NATS USER JWT-----',
    text,
    '------END NATS USER JWT------',
    '',
    '-----BEGIN USER NKEY SEED-----',
    seed,
    '------END USER NKEY SEED------',
    '',
  ].join('\n');
}

function token(issuer, name, subject, nats) {
  const body = { iat: Math.floor(Date.now() / 1000), iss: issuer.getPublicKey(), name, sub: subject };
  const claims = {
    jti: createHash('sha256').update(`${name}${subject}`).digest('hex'),
    ...body,
    nats: { ...nats, version: 2 },
  };
  const parts = [{ typ: 'JWT', alg: 'ed25519-nkey' }, claims].map((part) => encoded(JSON.stringify(part)));
  return [...parts, encoded(issuer.sign(Buffer.from(parts.join('.'))))].join('.');
}

const encoded = (bytes) => Buffer.from(bytes).toString('base64url');
