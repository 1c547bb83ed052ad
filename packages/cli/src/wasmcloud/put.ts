import { isUtf8 } from 'node:buffer';
import { Failure } from '../failure.js';
import { note, print, printJson } from '../output.js';
import { displayName, quote } from '../quote.js';
import { readStandardInput, readValue, type ValueOptions } from '../value.js';
import { type BackendOptions, withBackend } from './backend.js';
import { isStandardInput, readFileUpTo } from './bounded.js';
import { requireName } from './name.js';

/** `coffer wasmcloud put`: a value into a backend, where it is the current one at once. */

export type PutOptions = BackendOptions &
  Pick<ValueOptions, 'emptyOk' | 'verbatim' | 'trimSpace'> & {
    readonly string?: string;
    readonly binary?: string;
    readonly secretVersion?: string;
  };

/** More than a backend takes by default (1 MiB), and than one message over NATS holds: how much is read before that is said. */
const VALUE_BYTES = 5 * 1024 * 1024;

interface Value {
  readonly kind: 'string' | 'binary';
  readonly value: Uint8Array;
}

export async function put(name: string, options: PutOptions): Promise<void> {
  requireName(name);
  if (options.secretVersion !== undefined) {
    await note(
      'coffer: --secret-version is passed over: the backend numbers versions itself, as secrets-nats-kv does',
    );
  }
  const value = await givenValue(options);
  try {
    const version = await withBackend(options, ({ client, during }) =>
      during(`failed to put secret ${quote(name)}`, client.putSecret(name, value)),
    );
    if (options.json) return await printJson({ name, version, kind: value.kind });
    await print(`Secret '${displayName(name)}' put successfully\n  Version ${version} is current`);
  } finally {
    value.value.fill(0);
  }
}

/** From the flags, else from the environment, else asked for or read from standard input. */
async function givenValue(options: PutOptions): Promise<Value> {
  const { SECRET_STRING_VALUE, SECRET_BINARY_FILE } = process.env;
  const flags = { string: options.string, binary: options.binary };
  const stated = flags.string !== undefined || flags.binary !== undefined;
  const { string, binary } = stated ? flags : { string: SECRET_STRING_VALUE, binary: SECRET_BINARY_FILE };
  if (string !== undefined && binary !== undefined) {
    throw new Failure(
      stated
        ? 'use either --string or --binary'
        : 'SECRET_STRING_VALUE and SECRET_BINARY_FILE are both set: unset one of them, or use --string or --binary',
    );
  }
  if (string === '-') return text(await readValue(options, VALUE_BYTES));
  if (string !== undefined) return text(Buffer.from(string));
  if (binary !== undefined && isStandardInput(binary)) {
    return { kind: 'binary', value: await readStandardInput(VALUE_BYTES) };
  }
  if (binary !== undefined) {
    const named = `${stated ? '--binary' : 'SECRET_BINARY_FILE'} ${binary}`;
    return { kind: 'binary', value: readFileUpTo(VALUE_BYTES, named, binary) };
  }
  const value = await readValue(options, VALUE_BYTES);
  return { kind: isUtf8(value) ? 'string' : 'binary', value };
}

function text(value: Uint8Array): Value {
  if (isUtf8(value)) return { kind: 'string', value };
  value.fill(0);
  throw new Failure('this is no text in UTF-8: use --binary');
}
