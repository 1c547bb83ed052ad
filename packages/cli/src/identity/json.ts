import { Failure } from '../failure.js';
import { jsonLine } from '../quote.js';

/** The claims of a token as they stand in it, laid out: numbers of 64 bits keep all their digits so. */
export function claimsJson(token: string): string {
  const [, payload = ''] = token.split('.');
  return layOut(Buffer.from(payload, 'base64url').toString('utf8'));
}

/**
 * One of the claims, as nsc's `--field` has it: names with dots between them, and `[0]` for an element of a list.
 *
 * @throws Failure if there is none
 */
export function fieldJson(claims: object, path: string): string {
  const steps = path.match(/[^.[\]]+/g) ?? [];
  const found = steps.reduce<unknown>((at, step) => {
    const inner = typeof at === 'object' && at !== null && Object.hasOwn(at, step);
    return inner ? (at as Record<string, unknown>)[step] : undefined;
  }, claims);
  if (found === undefined)
    throw new Failure(`this token has no ${JSON.stringify(path)}; --json shows what it has`);
  return layOut(textOf(found));
}

/** JSON, with all digits of whole numbers. */
function textOf(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (Array.isArray(value)) return `[${value.map(textOf).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${textOf(member)}`).join(',')}}`;
}

function layOut(text: string): string {
  let depth = 0;
  let out = '';
  const newLine = () => `\n${'  '.repeat(depth)}`;
  for (const [part] of text.matchAll(/"(?:[^"\\]|\\.)*"|\{\}|\[\]|[{}[\],:]|[^"{}[\],:\s]+/g)) {
    if (part === '}' || part === ']') {
      depth--;
      out += newLine();
    }
    out += part === ':' ? ': ' : jsonLine(part);
    if (part === '{' || part === '[') depth++;
    if (part === '{' || part === '[' || part === ',') out += newLine();
  }
  return out;
}
