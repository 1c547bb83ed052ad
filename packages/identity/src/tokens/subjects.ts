/**
 * What may be a subject: of an export, an import, an activation, or a permission.
 *
 * Source of the rules: nats-io/jwt v2 (`types.go`: `Subject`, `RenamingSubject`); nats-server refuses an account that breaks
 * them.
 */

/** What is wrong with a subject, or undefined. */
export function subjectProblem(subject: string): string | undefined {
  if (subject === '') return 'a subject is empty';
  if (subject.includes(' ')) return `the subject "${subject}" has a space in it`;
  if (subject.startsWith('.') || subject.endsWith('.')) {
    return `the subject "${subject}" begins or ends with a dot`;
  }
  if (subject.includes('..')) return `the subject "${subject}" has two dots in a row`;
  return undefined;
}

/** Whether a token of the subject is `*`, or its last one `>`. */
export function hasWildcards(subject: string): boolean {
  const tokens = subject.split('.');
  return tokens.includes('*') || tokens.at(-1) === '>';
}

/** Whether all that `subject` stands for is in what `other` stands for. */
export function isContainedIn(subject: string, other: string): boolean {
  const own = subject.split('.');
  const others = other.split('.');
  const open = others.at(-1) === '>';
  if (own.length < others.length || (own.length > others.length && !open)) return false;
  return others.every((token, at) => {
    if (open && at === others.length - 1) return true;
    return token === '*' || token === own[at];
  });
}

const wildcards = (subject: string): number => subject.split('.').filter((token) => token === '*').length;
const endsOpen = (subject: string): boolean => subject === '>' || subject.endsWith('.>');
/** `$1` stands for the first `*` of the imported subject. */
const REFERENCE = /^\$(\d+)$/;

/** What is wrong with the local name of an imported subject, whose every `*` it must take up once. */
export function renamingProblem(local: string, imported: string): string | undefined {
  const problem = subjectProblem(local) ?? subjectProblem(imported);
  if (problem) return problem;
  if (endsOpen(local) !== endsOpen(imported)) {
    return `of the local subject "${local}" and the imported "${imported}" both or none must end in >`;
  }
  const wanted = wildcards(imported);
  const tokens = local.split('.');
  const references = tokens.flatMap((token) => REFERENCE.exec(token)?.[1] ?? []);
  if (references.some((reference) => Number(reference) > wanted)) {
    return `the local subject "${local}" refers to a * that "${imported}" does not have`;
  }
  if (references.length + wildcards(local) !== wanted) {
    return `the local subject "${local}" must have a * or a $N for every * of "${imported}"`;
  }
  return undefined;
}

/** The subjects that a local name with references stands for. */
export const withoutReferences = (local: string): string =>
  local
    .split('.')
    .map((token) => (REFERENCE.test(token) ? '*' : token))
    .join('.');

/** What is wrong with a subject of a permission: one to subscribe to may be followed by a blank and a queue group. */
export function permissionProblem(
  subject: string,
  { queue }: { readonly queue: boolean },
): string | undefined {
  const parts = subject.split(' ');
  if (parts.length > 2) return `the subject ${JSON.stringify(subject)} has more than one blank in it`;
  if (parts.length === 2 && !queue) {
    return `the subject ${JSON.stringify(subject)} names a queue group, which only subscriptions have`;
  }
  return parts.map(subjectProblem).find((problem) => problem !== undefined);
}
