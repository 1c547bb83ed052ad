import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Finding, looking, ok, problem } from './finding.js';

const SUBJECT = 'files';
const SHOWN = 5;

/** Whether everything in the state folder is its owner's, and for nobody else. */
export async function checkFiles(stateDir: string): Promise<readonly Finding[]> {
  return looking(SUBJECT, async () => {
    const { uid } = await lstat(stateDir);
    const names = await readdir(stateDir, { recursive: true });
    const open: string[] = [];
    const foreign: string[] = [];
    for (const name of names) {
      // A file may go while this looks.
      const found = await lstat(join(stateDir, name)).catch(() => undefined);
      if (found === undefined) continue;
      if (found.uid !== uid) foreign.push(name);
      if (!found.isSymbolicLink() && (found.mode & 0o077) !== 0) open.push(name);
    }
    const findings = [
      ...(open.length > 0
        ? [
            problem(
              SUBJECT,
              `others can read or write ${some(open)} in ${stateDir}: chmod -R go= ${stateDir}`,
            ),
          ]
        : []),
      ...(foreign.length > 0
        ? [
            problem(
              SUBJECT,
              `${some(foreign)} in ${stateDir} belong to another user: chown -R ${uid} ${stateDir}`,
            ),
          ]
        : []),
    ];
    return findings.length > 0
      ? findings
      : ok(SUBJECT, `${names.length} in the state folder, for their owner only`);
  });
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).join(', ');
  return names.length > SHOWN ? `${shown} and ${names.length - SHOWN} more` : shown;
}
