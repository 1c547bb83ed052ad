import { jsonLine } from '../quote.js';

/** The claims of a token as they stand in it, laid out: numbers of 64 bits keep all their digits so. */
export function claimsJson(token: string): string {
  const [, payload = ''] = token.split('.');
  const text = Buffer.from(payload, 'base64url').toString('utf8');
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
