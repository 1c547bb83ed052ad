import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { run, TemporaryFolder } from '../test/support/processes.mjs';
import { median } from './table.mjs';

/** How busy the machine was in the last minute, before anything is measured. */
export const busy = () => loadavg()[0];

/** What the numbers depend on, in lines of text. */
export async function conditions(busyBefore) {
  // Not all parts need it.
  const wrk = await run('wrk', ['--version']).then(
    ({ stdout }) => stdout.toString().split(' [')[0],
    () => 'no wrk',
  );
  return [
    `${availableParallelism()} cores, ${cpus()[0]?.model.trim() ?? 'unknown CPU'}; the load runs on them too; ${busyBefore.toFixed(1)} processes ran before`,
    `Node ${process.versions.node}, ${wrk}`,
    `one fdatasync of 512 bytes where the state folders are: ${fdatasyncMilliseconds().toFixed(2)} ms (median of 200)`,
  ];
}

function fdatasyncMilliseconds() {
  const folder = new TemporaryFolder();
  const file = openSync(folder.join('fdatasync'), 'w');
  try {
    const block = Buffer.alloc(512);
    const times = Array.from({ length: 200 }, () => {
      const start = process.hrtime.bigint();
      writeSync(file, block);
      fdatasyncSync(file);
      return Number(process.hrtime.bigint() - start) / 1e6;
    });
    return median(times);
  } finally {
    closeSync(file);
    folder[Symbol.dispose]();
  }
}

/** The largest resident memory of a process while `work` runs, in MB, looked at ten times a second. */
export async function residentMegabytes(pid, work) {
  let most = 0;
  const look = () => {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    most = Math.max(most, (Number(/VmRSS:\s*(\d+) kB/.exec(status)?.[1]) * 1024) / 1e6);
  };
  const timer = setInterval(look, 100);
  try {
    const result = await work();
    return { result, megabytes: most };
  } finally {
    clearInterval(timer);
  }
}

/** Linux counts the time of processes in hundredths of a second. */
const TICK_MICROSECONDS = 10_000;

/**
 * What processes use of the processors while `work` runs, in microseconds of all of them together: on a machine that others use
 * too, it says more than the time that passes.
 */
export async function processorTime(pids, work) {
  const before = usedBy(pids);
  const result = await work();
  return { result, microseconds: usedBy(pids) - before };
}

function usedBy(pids) {
  const ticks = pids.map((pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Behind the name, which may hold anything: utime and stime are the 14th and 15th field of the line, proc_pid_stat(5).
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13);
    return Number(user) + Number(system);
  });
  return ticks.reduce((sum, one) => sum + one, 0) * TICK_MICROSECONDS;
}
