/** What is wrong with a NATS subject, if anything is: tokens with dots between them, none of them empty, no blanks. */
export function subjectProblem(subject: string): string | undefined {
  if (subject === '') return 'is empty';
  if (/\s/.test(subject)) return 'has a blank in it';
  if (subject.startsWith('.') || subject.endsWith('.')) return 'begins or ends with a dot';
  if (subject.includes('..')) return 'has two dots in a row';
  const tokens = subject.split('.');
  if (tokens.slice(0, -1).includes('>')) return 'has a > that is not its end';
  return undefined;
}

/** What is wrong with a subject of a permission: one to subscribe to may be followed by a blank and a queue group. */
export function permissionProblem(
  subject: string,
  { queue }: { readonly queue: boolean },
): string | undefined {
  const parts = subject.split(' ');
  if (parts.length > 2) return 'has more than one blank in it';
  if (parts.length === 2 && !queue) return 'names a queue group, which only subscriptions have';
  return parts.map(subjectProblem).find((problem) => problem !== undefined);
}

export const hasWildcards = (subject: string): boolean =>
  subject.split('.').some((token) => token === '*' || token === '>');

/** Whether every subject that `inner` stands for is one that `outer` stands for, too. */
export function isWithin(inner: string, outer: string): boolean {
  const own = inner.split('.');
  const others = outer.split('.');
  for (const [at, other] of others.entries()) {
    if (other === '>') return own.length > at;
    const token = own[at];
    if (token === undefined || token === '>') return false;
    if (other !== '*' && other !== token) return false;
  }
  return own.length === others.length;
}
