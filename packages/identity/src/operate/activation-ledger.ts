import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { appendLine, readText, writeFile } from '../store/files.js';
import { decorateToken } from '../tokens/creds.js';
import { decodeActivation, type Jwt } from '../tokens/jwt.js';
import { exporterOf } from './imports.js';

/**
 * The activation tokens that were made here to be given away, which no folder of nsc keeps: a token a line, in a hidden folder
 * beside the keys, where nsc does not look. They are no secret: each is of use to one account alone.
 */
export class ActivationLedger {
  readonly #folder: string;

  /** @param keysFolder the folder in which `keys` and `creds` are */
  constructor(keysFolder: string) {
    this.#folder = join(keysFolder, '.coffer');
  }

  note(token: string): void {
    appendLine(this.#path, token);
  }

  /** The newest token of each subject that each account was given; a line that a crash cut short is passed over. */
  tokens(): Jwt<'activation'>[] {
    const newest = new Map<string, Jwt<'activation'>>();
    for (const line of (readText(this.#path) ?? '').split('\n')) {
      const jwt = activationOf(line);
      if (!jwt) continue;
      newest.set(whatFor(jwt), jwt);
    }
    return [...newest.values()];
  }

  /** Writes a token that is signed anew into a file to give away. */
  renew(token: string): void {
    // Were it noted first and the file not written, nobody would write it.
    writeFile(this.pathOf(decodeActivation(token)), decorateToken(token));
    this.note(token);
  }

  /** Where `renew` puts a token. */
  pathOf(jwt: Jwt<'activation'>): string {
    const name = createHash('sha256').update(whatFor(jwt)).digest('hex').slice(0, 16);
    return join(this.#folder, 'activations', `${jwt.claims.sub}-${name}.jwt`);
  }

  get #path(): string {
    return join(this.#folder, 'activations.txt');
  }
}

/** Whose export, for whom and of what: of two tokens that agree in it the newer takes the place of the older. */
const whatFor = ({ claims }: Jwt<'activation'>): string =>
  [exporterOf(claims), claims.sub, claims.nats.kind, claims.nats.subject].join(' ');

/** Nothing for what is no activation token. */
export function activationOf(text: string): Jwt<'activation'> | undefined {
  try {
    return decodeActivation(text);
  } catch {
    return undefined;
  }
}
