import {
  createKeyPair,
  encodeJwt,
  memoryResolver,
  newAccount,
  newOperator,
  newUser,
  open,
  seal,
  Verifier,
  verify,
} from '@coffer/identity';
import * as nkeys from '@nats-io/nkeys';
import { Process } from '../test/support/processes.mjs';
import { peer } from '../test/support/servers.mjs';
import { row } from './table.mjs';

/** Bytes of every message. */
const BYTES = 1024;
const AT_ONCE = 16;

/**
 * nkeys, xkeys and chains in one thread each: ours in this process, beside `@nats-io/nkeys` in this process and Go's nkeys
 * and nats-io/jwt in theirs, taking turns.
 */
export async function identity({ runs, seconds, progress }) {
  const slice = Math.min(seconds, 1);
  const go = new GoLibraries();
  try {
    const rows = [];
    for (const what of ['seal', 'open', 'sign', 'verify']) {
      const seen = { ours: [], javascript: [], go: [] };
      const work = { ours: ours(what), javascript: javascript(what) };
      for (let i = 0; i < runs; i++) {
        progress(`identity: ${what}`);
        seen.ours.push(await perSecond(work.ours, slice));
        seen.javascript.push(await perSecond(work.javascript, slice));
        seen.go.push(await go.perSecond({ what, bytes: BYTES, seconds: slice }));
      }
      const box = what === 'seal' || what === 'open';
      const target = box ? { ratio: 'at least', of: 20 } : undefined;
      rows.push(
        row(`${what} ${BYTES} bytes (peer: @nats-io/nkeys)`, '/s', seen.ours, seen.javascript, target),
      );
      rows.push(row('  (peer: Go’s nkeys)', '/s', seen.ours, seen.go));
    }
    rows.push(...(await chain({ go, runs, slice, progress })));
    return rows;
  } finally {
    await go.stop();
  }
}

/** How often in a second, from so many seconds. */
async function perSecond(work, seconds) {
  await work();
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < seconds * 1000) {
    for (let i = 0; i < AT_ONCE; i++) {
      const result = work();
      if (result instanceof Promise) await result;
    }
    count += AT_ONCE;
  }
  return (count * 1000) / (performance.now() - start);
}

function ours(what) {
  const message = new Uint8Array(BYTES);
  if (what === 'sign' || what === 'verify') {
    const user = createKeyPair('user');
    const signature = user.sign(message);
    return what === 'sign'
      ? () => user.sign(message)
      : () => must(verify(user.publicKey, message, signature));
  }
  const sender = createKeyPair('curve');
  const recipient = createKeyPair('curve');
  const box = seal(message, sender, recipient.publicKey);
  return what === 'seal'
    ? () => seal(message, sender, recipient.publicKey)
    : () => open(box, recipient, sender.publicKey);
}

function javascript(what) {
  const message = new Uint8Array(BYTES);
  if (what === 'sign' || what === 'verify') {
    const user = nkeys.createUser();
    const signature = user.sign(message);
    const stranger = nkeys.fromPublic(user.getPublicKey());
    return what === 'sign' ? () => user.sign(message) : () => must(stranger.verify(message, signature));
  }
  const sender = nkeys.createCurve();
  const recipient = nkeys.createCurve();
  const to = recipient.getPublicKey();
  const from = sender.getPublicKey();
  const box = sender.seal(message, to);
  return what === 'seal' ? () => sender.seal(message, to) : () => must(recipient.open(box, from) !== null);
}

function must(good) {
  if (!good) throw new Error('what was measured does not work');
}

/** test/peers/nats/nats-jwt, one question at a time. */
class GoLibraries {
  #process = new Process(peer('nats-jwt'), []);
  #asked = 0;

  async perSecond(measure) {
    this.#asked++;
    this.#process.write(`${JSON.stringify({ measure })}\n`);
    const [lines] = await this.#process.waitFor(new RegExp(`^(?:.*\\n){${this.#asked}}`));
    return JSON.parse(lines.split('\n')[this.#asked - 1]).perSecond;
  }

  stop() {
    return this.#process.stop();
  }
}

/** Operator → account by a signing key → user by a signing key. */
function chainOfTokens() {
  const [operator, operatorSigning] = [createKeyPair('operator'), createKeyPair('operator')];
  const [account, accountSigning] = [createKeyPair('account'), createKeyPair('account')];
  const top = newOperator(operator.publicKey, 'operator');
  const middle = newAccount(account.publicKey, 'account');
  const leaf = newUser(createKeyPair('user').publicKey, 'user');
  return {
    operator: encodeJwt(
      { ...top, nats: { ...top.nats, signing_keys: [operatorSigning.publicKey] } },
      operator,
    ),
    account: encodeJwt(
      { ...middle, nats: { ...middle.nats, signing_keys: [accountSigning.publicKey] } },
      operatorSigning,
    ),
    user: encodeJwt({ ...leaf, nats: { ...leaf.nats, issuer_account: account.publicKey } }, accountSigning),
  };
}

async function chain({ go, runs, slice, progress }) {
  const { operator, account, user } = chainOfTokens();
  const make = () => new Verifier({ operators: () => [operator], resolver: memoryResolver([account]) });
  const cold = () => {
    const verifier = make();
    return Promise.resolve(verifier.verify(user, ['user'])).finally(() => verifier.close());
  };
  const warm = make();
  await warm.verify(user, ['user']);
  const cached = () => warm.verify(user, ['user']);
  const seen = { cold: [], cached: [], go: [] };
  for (let i = 0; i < runs; i++) {
    progress('identity: chain');
    seen.cold.push(await perSecond(cold, slice));
    seen.cached.push(1e6 / (await perSecond(cached, slice)));
    seen.go.push(await go.perSecond({ what: 'chain', tokens: [operator, account, user], seconds: slice }));
  }
  warm.close();
  return [
    row('a chain of three tokens, cold (peer: Go decodes the three)', '/s', seen.cold, seen.go),
    row(
      '  cached (peer: Go decodes the three)',
      'µs',
      seen.cached,
      seen.go.map((perSecond) => 1e6 / perSecond),
      {
        value: 'at most',
        of: 2,
      },
    ),
  ];
}
