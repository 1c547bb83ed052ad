import { run } from './program.js';

// What writes to these hears of errors itself; unheard here, a reader that leaves early, as `head` does, would end
// the process with a stack trace.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
process.exitCode = await run(process.argv.slice(2));
