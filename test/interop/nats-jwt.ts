import { run } from '../support/processes.mjs';
import { peer } from '../support/servers.mjs';

/** What Go's nats-io/jwt found in a token. */
export interface GoDecoded {
  /** As JSON of Go's: whole numbers beyond 2⁵³ lose digits in `JSON.parse`, on both sides alike. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly type?: string;
  /** Everything that its `Validate` finds. */
  readonly issues: readonly string[];
  readonly error?: string;
}

export interface GoToken {
  readonly text: string;
  readonly kind: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Has Go decode and validate tokens. */
export const decodeInGo = (tokens: readonly string[]): Promise<GoDecoded[]> =>
  ask(tokens.map((decode) => ({ decode })));

/** Has Go make one token of each kind for each seed of its random numbers. */
export async function generateInGo(seeds: readonly number[]): Promise<GoToken[]> {
  const answers = await ask<{ tokens: GoToken[] }>(seeds.map((generate) => ({ generate })));
  return answers.flatMap(({ tokens }) => tokens);
}

async function ask<T>(requests: readonly object[]): Promise<T[]> {
  const input = requests.map((request) => `${JSON.stringify(request)}\n`).join('');
  const { code, stdout, stderr } = await run(peer('nats-jwt'), [], { input });
  if (code !== 0) throw new Error(`nats-jwt: ${stderr.toString()}`);
  const answers = stdout.toString().split('\n').filter(Boolean);
  return answers.map((line) => JSON.parse(line) as T);
}
