/** How bad it is: nothing, worth knowing, or to be mended. */
export type Level = 'ok' | 'warning' | 'problem';

/** What one look at one thing found. */
export interface Finding {
  /** What was looked at, in a word or two. */
  readonly subject: string;
  readonly level: Level;
  /** One sentence; of a warning or a problem it says what to do. Never a secret. */
  readonly says: string;
}

export const ok = (subject: string, says: string): Finding => ({ subject, level: 'ok', says });
export const warning = (subject: string, says: string): Finding => ({ subject, level: 'warning', says });
export const problem = (subject: string, says: string): Finding => ({ subject, level: 'problem', says });

/** What `look` finds; what it throws for a person to read is a problem, too. */
export async function looking(
  subject: string,
  look: () => Promise<Finding | readonly Finding[]>,
): Promise<readonly Finding[]> {
  try {
    return [await look()].flat();
  } catch (error) {
    return [problem(subject, reasonOf(error))];
  }
}

/** The system's own messages name the call and the path in their way; the code alone says it shorter. */
export function reasonOf(error: unknown): string {
  const { code, path, message, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined) return message;
  const reason = code === 'EACCES' ? 'permission denied' : code === 'ENOENT' ? 'it is not there' : code;
  return path === undefined ? message : `${path}: ${reason}`;
}
