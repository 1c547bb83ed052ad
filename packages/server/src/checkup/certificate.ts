import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { ServerConfig } from '../config/config.js';
import { day, readTlsPair } from '../tls/pair.js';
import { type Finding, looking, ok, warning } from './finding.js';
import { checkFolderOfKey } from './folder.js';

const SUBJECT = 'certificate';

/** Whether the TLS certificate and its key can be used, for how long, and under the public URL. */
export async function checkCertificate(
  { tls, publicUrl }: ServerConfig,
  now: Date,
): Promise<readonly Finding[]> {
  if (tls === undefined) return [];
  return looking(SUBJECT, async () => {
    const pair = await readTlsPair(tls, now);
    pair.key.fill(0);
    const { validTo, notice, cert } = pair;
    const until = `${tls.cert} is valid until ${day(validTo)}`;
    const soon = validTo.getTime() - now.getTime() < notice;
    return [
      soon ? warning(SUBJECT, `${until}: renew it before then`) : ok(SUBJECT, until),
      ...checkNames(new X509Certificate(cert), tls.cert, publicUrl),
      ...(await checkFolderOfKey(SUBJECT, tls.key)),
    ];
  });
}

function checkNames(certificate: X509Certificate, path: string, publicUrl: string | undefined): Finding[] {
  if (publicUrl === undefined || !URL.canParse(publicUrl)) return [];
  const { hostname } = new URL(publicUrl);
  const bare = hostname.replace(/^\[|\]$/g, '');
  const names = isIP(bare) ? certificate.checkIP(bare) : certificate.checkHost(bare);
  if (names !== undefined) return [];
  const stated =
    certificate.subjectAltName?.replaceAll('DNS:', '').replaceAll('IP Address:', '') ?? 'no name';
  return [
    warning(SUBJECT, `${path} is for ${stated}, not for ${bare} as publicUrl says: clients will refuse it`),
  ];
}
