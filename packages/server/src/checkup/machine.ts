import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { canLockMemory } from '@coffer/engine';
import { type Finding, ok, problem, warning } from './finding.js';

/** As package.json has it. */
const OLDEST_NODE = [20, 19] as const;

/**
 * What of the machine decides how well secrets are kept: the version of node, locked memory, core dumps, swap, the clock.
 *
 * @param server process id of the server that runs; its own limits count, not those of this process
 */
export async function checkMachine(server: number | undefined): Promise<readonly Finding[]> {
  const findings = [
    checkNode(process.versions.node),
    await checkLockedMemory(server),
    await checkCoreDumps(server),
    await checkSwap(),
    await checkSynchronised(),
  ];
  return findings.filter((finding) => finding !== undefined);
}

export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const old = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]);
  return old
    ? problem(
        'node',
        `this is node ${version}, and coffer needs ${OLDEST_NODE.join('.')} or newer: install that`,
      )
    : ok('node', version);
}

async function checkLockedMemory(server: number | undefined): Promise<Finding> {
  const subject = 'locked memory';
  const mend = 'raise LimitMEMLOCK in its systemd unit, or "ulimit -l" where it is started';
  const locked =
    server === undefined ? undefined : await fieldOf(`/proc/${server}/status`, /^VmLck:\s+(\d+) kB$/m);
  if (locked !== undefined) {
    return Number(locked) > 0
      ? ok(subject, `the server keeps its keys in ${locked} KiB of it`)
      : warning(subject, `the server could lock no memory, so that keys may reach the swap space: ${mend}`);
  }
  return canLockMemory()
    ? ok(subject, 'this user can lock memory, so that keys do not reach the swap space')
    : warning(subject, `this user can lock no memory, so that keys may reach the swap space: ${mend}`);
}

/** libsodium leaves keys out of a dump; values that are under way are in it. */
async function checkCoreDumps(server: number | undefined): Promise<Finding | undefined> {
  const limits = `/proc/${server ?? 'self'}/limits`;
  const soft = await fieldOf(limits, /^Max core file size\s+(\S+)/m);
  if (soft === undefined) return undefined;
  if (soft === '0') return ok('core dumps', 'off');
  const whose = server === undefined ? 'of a server that is started as this is' : 'of the server';
  return warning(
    'core dumps',
    `a crash ${whose} may write secrets to the disk: LimitCORE=0 in its systemd unit, or "ulimit -c 0"`,
  );
}

async function checkSwap(): Promise<Finding | undefined> {
  const swaps = await readFile('/proc/swaps', 'utf8').catch(() => undefined);
  if (swaps === undefined) return undefined;
  return describeSwap(swaps);
}

/** @param swaps what /proc/swaps says */
export function describeSwap(swaps: string): Finding {
  const areas = swaps
    .split('\n')
    .slice(1)
    .flatMap((line) => line.split(/\s+/)[0] || []);
  // These live in memory, or are encrypted by what lies below them.
  const onDisk = areas.filter((area) => !/^\/dev\/(zram|dm-)/.test(area));
  if (areas.length === 0) return ok('swap', 'off');
  if (onDisk.length === 0) return ok('swap', `${areas.join(', ')}, in memory or below the device mapper`);
  return warning(
    'swap',
    `values in memory may reach ${onDisk.join(', ')} (keys are locked and do not): turn swap off, or encrypt it`,
  );
}

/** Where systemd or chrony says so cheaply. Expiry of tokens and times in the audit log are as right as the clock. */
async function checkSynchronised(): Promise<Finding | undefined> {
  const told = await promisify(execFile)('timedatectl', ['show', '--property=NTPSynchronized', '--value'], {
    timeout: 2_000,
  }).catch(() => undefined);
  if (told?.stdout.trim() === 'yes' || existsSync('/run/systemd/timesync/synchronized')) {
    return ok('clock', 'kept right by NTP');
  }
  if (told?.stdout.trim() !== 'no') return undefined;
  return warning(
    'clock',
    'no NTP keeps it right, and the expiry of tokens and the times in the audit log hang on it: timedatectl set-ntp true',
  );
}

async function fieldOf(path: string, pattern: RegExp): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return pattern.exec(text)?.[1];
}
