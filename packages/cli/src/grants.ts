import type { Grant } from '@coffer/client';
import { jsonText } from './quote.js';

/** A grant on one line, in the policy file's own notation. */
export function grantLine(grant: Grant): string {
  return parts(grant).join(', ');
}

/** A policy file with these grants; what `policy show` prints, `policy apply` takes. */
export function policyText(grants: readonly Grant[]): string {
  if (grants.length === 0) return 'grants: []';
  const entries = grants.map((grant) => `  - ${parts(grant).join('\n    ')}`);
  return `grants:\n${entries.join('\n')}`;
}

function parts({ to, actions, secrets, when }: Grant): string[] {
  const always = [`to: ${flow(to)}`, `actions: ${flow(actions)}`, `secrets: ${flow(secrets)}`];
  if (when === undefined) return always;
  const { application, host } = when;
  const conditions = [
    ...(application ? [`application: ${flow(application)}`] : []),
    ...(host ? [`host: ${flow(host)}`] : []),
  ];
  return [...always, `when: {${conditions.join(', ')}}`];
}

/** YAML's flow notation holds JSON's, in which a word that is safe everywhere needs no quotes. */
function flow(words: readonly string[]): string {
  return `[${words.map((word) => (SAFE.test(word) ? word : jsonText(word))).join(', ')}]`;
}

/** Nothing that YAML could take for a number, a boolean, null or syntax. */
const SAFE = /^(?!(?:true|false|null|yes|no|on|off)$)[a-z][a-z-]*$/;
