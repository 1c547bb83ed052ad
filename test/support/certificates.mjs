import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';

// Plain JavaScript, since bench/ runs without a build; the contract stands in certificates.d.mts.

const DAY = 24 * 60 * 60 * 1000;

export class Authority {
  #name = `coffer test authority ${randomBytes(4).toString('hex')}`;
  #keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  /** Strict clients find the authority by it. */
  #keyId = createHash('sha1')
    .update(this.#keys.publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  cert;

  constructor() {
    const now = Date.now();
    this.cert = this.#sign({
      subject: this.#name,
      publicKey: this.#keys.publicKey,
      validFrom: new Date(now - DAY),
      validTo: new Date(now + 30 * DAY),
      extensions: [
        extension('2.5.29.14', false, encode(0x04, this.#keyId)),
        extension('2.5.29.19', true, sequence(boolean(true))),
        // keyCertSign and cRLSign
        extension('2.5.29.15', true, encode(0x03, Buffer.from([1, 0x06]))),
      ],
    });
  }

  issue({
    names = ['localhost'],
    addresses = ['127.0.0.1'],
    validFrom = new Date(Date.now() - DAY),
    validTo = new Date(Date.now() + 30 * DAY),
  } = {}) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const alternatives = [
      ...names.map((name) => encode(0x82, Buffer.from(name))),
      ...addresses.map((address) => encode(0x87, Buffer.from(address.split('.').map(Number)))),
    ];
    const cert = this.#sign({
      subject: names[0],
      publicKey,
      validFrom,
      validTo,
      extensions: [
        extension('2.5.29.35', false, sequence(encode(0x80, this.#keyId))),
        extension('2.5.29.17', false, sequence(...alternatives)),
      ],
    });
    const { fingerprint256: fingerprint } = new X509Certificate(cert);
    return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }), fingerprint };
  }

  /** RFC 5280, 4.1. */
  #sign({ subject, publicKey, validFrom, validTo, extensions }) {
    const body = sequence(
      encode(0xa0, integer(Buffer.from([2]))),
      integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
      ECDSA_WITH_SHA256,
      name(this.#name),
      sequence(time(validFrom), time(validTo)),
      name(subject),
      publicKey.export({ type: 'spki', format: 'der' }),
      encode(0xa3, sequence(...extensions)),
    );
    const signature = sign('sha256', body, this.#keys.privateKey);
    const der = sequence(body, ECDSA_WITH_SHA256, encode(0x03, Buffer.concat([Buffer.from([0]), signature])));
    const lines = der.toString('base64').match(/.{1,64}/g);
    return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
  }
}

/** DER: a tag, the length, the content. */
function encode(tag, content) {
  const { length } = content;
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), content]);
}

function sequence(...parts) {
  return encode(0x30, Buffer.concat(parts));
}

function integer(bytes) {
  return encode(0x02, bytes);
}

function boolean(value) {
  return encode(0x01, Buffer.from([value ? 0xff : 0]));
}

function oid(text) {
  const [first, second, ...others] = text.split('.').map(Number);
  const bytes = [40 * first + second];
  for (const number of others) {
    const groups = [number & 0x7f];
    for (let rest = number >> 7; rest > 0; rest >>= 7) groups.unshift((rest & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return encode(0x06, Buffer.from(bytes));
}

const ECDSA_WITH_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));

/** A distinguished name that is a common name alone. */
function name(text) {
  return sequence(encode(0x31, sequence(oid('2.5.4.3'), encode(0x0c, Buffer.from(text)))));
}

/** UTCTime, until 2049. */
function time(date) {
  const digits = date.toISOString().replace(/[-:T]/g, '').slice(2, 14);
  return encode(0x17, Buffer.from(`${digits}Z`));
}

function extension(id, critical, value) {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), encode(0x04, value));
}
