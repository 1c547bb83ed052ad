import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

// Loaded before the program (node --import): kills it with SIGKILL at the change of the file system whose number is in KILL_AT.

let left = Number(process.env.KILL_AT);

for (const name of ['openSync', 'writeSync', 'renameSync', 'unlinkSync']) {
  const act = fs[name];
  fs[name] = (...args) => {
    if (name !== 'openSync' || args[1] !== 'r') {
      left--;
      if (left === 0) process.kill(process.pid, 'SIGKILL');
    }
    return act(...args);
  };
}
syncBuiltinESMExports();
