import type { Client, Whoami } from '@coffer/client';
import type { Finding } from '@coffer/server';
import { forCommandLine, isClientError, systemReason } from '../failure.js';
import { quote } from '../quote.js';
import { type Probe, probe, type SeenBackend } from './probe.js';

const DAY = 24 * 60 * 60 * 1000;
/** Of another machine's clock. */
const SKEW_MS = 5_000;
const CERTIFICATE_MS = 14 * DAY;

export interface RunningOptions {
  readonly client: Client;
  readonly ca: Buffer | undefined;
  /** Of this program. */
  readonly version: string;
  /** Nobody looks at the machine that it runs on, and at the servers of its store. */
  readonly isAll: boolean;
  readonly now?: Date;
}

/** Asks a server that runs: whether it answers and is ready, whose clock and which version it has, and what its keys do. */
export async function checkRunning(options: RunningOptions): Promise<Finding[]> {
  const { client, ca, now = new Date() } = options;
  let seen: Probe;
  try {
    seen = await probe(client.server, ca);
  } catch (error) {
    const message = client.server.startsWith('unix:') ? socketReason(error) : (error as Error).message;
    return [
      finding(
        'server',
        'problem',
        `${client.server} does not answer (${message}): start it, or mend the way to it`,
      ),
    ];
  }
  return [
    seen.notReady === undefined
      ? finding('server', 'ok', `${client.server} takes requests`)
      : finding('server', 'problem', `${client.server} takes no requests: ${seen.notReady}`),
    ...(seen.alarm === undefined
      ? []
      : [
          finding(
            'store',
            'problem',
            `the alarm is raised (${seen.alarm}), and no instance takes changes: "coffer storage status" says what was found, and ` +
              '"coffer storage heal --dry-run" what a heal would do',
          ),
        ]),
    ...(seen.notServingSince === undefined
      ? []
      : [
          finding(
            'NATS',
            'problem',
            `${client.server} serves nothing over NATS since ${seen.notServingSince}: its log says why`,
          ),
        ]),
    ...(options.isAll ? checkStore(seen) : []),
    ...checkBackends(seen, client),
    ...(client.exposed
      ? [
          finding(
            'connection',
            'warning',
            `${client.server} is reached without TLS: use https://, or a tunnel`,
          ),
        ]
      : []),
    ...checkCertificate(seen, now),
    ...checkClock(seen, client, now),
    ...(await checkServer(options)),
  ];
}

/** As the other commands say it: the system's own sentence names the path again. */
function socketReason(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' ? 'no such socket' : systemReason(error);
}

const finding = (subject: string, level: Finding['level'], says: string): Finding => ({
  subject,
  level,
  says,
});

/** Of an alarm it was told before. */
function checkStore({ alarm, warnings, writable }: Probe): Finding[] {
  if (alarm !== undefined) return [];
  if (writable || warnings.length > 0) return warnings.map((says) => finding('store', 'warning', says));
  return [
    finding(
      'store',
      'warning',
      'changes are refused, for want of room: "coffer doctor" on its machine says of what',
    ),
  ];
}

/** Which it is, a server tells on its own machine only. */
function checkBackends({ backends, notServingSince }: Probe, client: Client): Finding[] {
  // Then none of them is served, which is told.
  if (notServingSince !== undefined) return [];
  const failing = backends.filter(({ serving, ready }) => !(serving && ready));
  if (failing.length === 0) {
    return backends.length === 0
      ? []
      : [finding('backends', 'ok', `all of the ${backends.length} can answer`)];
  }
  const isTold = failing.every(({ name }) => name !== undefined);
  if (isTold) return failing.map((one) => finding('backends', 'warning', howItFails(one)));
  return [
    finding(
      'backends',
      'warning',
      `${failing.length} of ${backends.length} cannot answer, or are not served: the log of ${client.server} says which and why, and so ` +
        'does "coffer doctor" on its machine',
    ),
  ];
}

const howItFails = ({ name = '', serving, notReadySince }: SeenBackend): string =>
  serving
    ? `${quote(name)} cannot answer since ${notReadySince ?? 'an unknown time'}: the server’s log says why`
    : `${quote(name)} is not served, since NATS does not let it: the server’s log says why`;

function checkCertificate({ validTo }: Probe, now: Date): Finding[] {
  if (validTo === undefined) return [];
  const until = `the one that it shows is valid until ${validTo.toISOString().slice(0, 10)}`;
  const left = validTo.getTime() - now.getTime();
  return [
    left < CERTIFICATE_MS
      ? finding('certificate', 'warning', `${until}: renew it before then`)
      : finding('certificate', 'ok', until),
  ];
}

/** The header has whole seconds, and is as old as the answer's way here. */
function checkClock({ date, tookMs }: Probe, client: Client, now: Date): Finding[] {
  if (date === undefined || client.server.startsWith('unix:')) return [];
  const skew = date.getTime() - now.getTime();
  if (Math.abs(skew) <= SKEW_MS + tookMs) return [finding('clock', 'ok', 'the server’s and ours agree')];
  const seconds = Math.round(Math.abs(skew) / 1000);
  const side = skew > 0 ? 'ahead of' : 'behind';
  return [
    finding(
      'clock',
      'warning',
      `the server’s is ${seconds} s ${side} ours: tokens expire by the server’s; set the wrong one right`,
    ),
  ];
}

async function checkServer({ client, version }: RunningOptions): Promise<Finding[]> {
  let who: Whoami;
  try {
    who = await client.whoami();
  } catch (error) {
    if (!isClientError(error)) throw error;
    // Without a token there is nobody to be known.
    return [finding('caller', 'warning', `the server does not say who we are: ${forCommandLine(error)}`)];
  }
  const { server, principals } = who;
  const same = server.version === version;
  return [
    finding('caller', 'ok', `${principals[0]?.id ?? 'nobody'}`),
    same
      ? finding('version', 'ok', `the server and this command are coffer ${version}`)
      : finding(
          'version',
          'warning',
          `the server is coffer ${server.version}, this command ${version}: upgrade the older one`,
        ),
    ...(server.development
      ? [finding('server', 'warning', 'it is a development server: whoever can connect may do everything')]
      : []),
  ];
}
