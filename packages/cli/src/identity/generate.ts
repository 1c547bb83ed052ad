import {
  accountMeant,
  createKeyPair,
  generateKey,
  type KeyKind,
  openWorkplace,
  userMeant,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { print, write } from '../output.js';
import { writeOutput } from './files.js';
import { maybeName, openStore, type StoreOptions } from './workplace.js';

/** `coffer identity generate nkey` and `creds`. */

const KINDS = ['operator', 'account', 'user', 'curve'] as const satisfies readonly KeyKind[];

type NkeyOptions = StoreOptions & Partial<Record<(typeof KINDS)[number] | 'store', boolean>>;

export async function nkey(options: NkeyOptions): Promise<void> {
  const wanted = KINDS.filter((kind) => options[kind]);
  if (wanted.length === 0) throw new Failure('say of which kind: --operator, --account, --user or --curve');
  for (const kind of wanted) {
    if (options.store) {
      const { key, path } = generateKey(openWorkplace({ ...options, operator: undefined }), kind);
      await print(`${key}\n${kind} key stored ${path}\n`);
    } else {
      await printPair(kind);
    }
  }
}

async function printPair(kind: KeyKind): Promise<void> {
  using pair = createKeyPair(kind);
  const seed = pair.seed();
  try {
    await write(process.stdout, seed);
    await write(process.stdout, `\n${pair.publicKey}\n\n`);
  } finally {
    seed.fill(0);
  }
}

type CredsOptions = StoreOptions & {
  readonly name?: string;
  readonly user?: string;
  readonly account?: string;
  readonly outputFile?: string;
};

export async function creds(operand: string | undefined, options: CredsOptions): Promise<void> {
  const context = openStore(options);
  const account = accountMeant(context, options.account);
  const user = userMeant(context, account, maybeName(operand, options.name ?? options.user, 'user'));
  const { text, claims } = context.store.user(account, user);
  const bytes = context.keys.formatCreds(text);
  if (bytes === undefined) {
    throw new Failure(
      `the seed of ${claims.sub} is not in ${context.keys.folder}: "coffer identity import keys" brings it in`,
    );
  }
  try {
    await writeOutput(options.outputFile, bytes);
  } finally {
    bytes.fill(0);
  }
}
