/** Whether the server of this container takes requests, by its admin socket. The exit code is the answer: 0 if it does. */
import { get } from 'node:http';
import { join } from 'node:path';

const socketPath = join(process.env.COFFER_STATE_DIR, 'admin.sock');
const asked = get({ socketPath, path: '/readyz', timeout: 4_000 }, (answer) => {
  answer.resume();
  answer.on('end', () => end(answer.statusCode === 200 ? undefined : `/readyz answers ${answer.statusCode}`));
});
asked.on('timeout', () => asked.destroy(new Error('no answer within four seconds')));
asked.on('error', ({ message }) => end(message));

/** @param {string | undefined} problem */
function end(problem) {
  if (problem !== undefined) console.error(`not ready: ${problem}`);
  process.exitCode = problem === undefined ? 0 : 1;
}
