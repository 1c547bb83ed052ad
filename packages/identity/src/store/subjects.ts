import { subjectProblem } from '../operate/subjects.js';

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
