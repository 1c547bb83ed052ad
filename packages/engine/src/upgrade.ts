import { join } from 'node:path';

import type { AuditLog } from './audit/log.js';
import { writeBackup } from './backup/write.js';
import { SERVER } from './caller.js';
import { STORE_FORMAT } from './header/format.js';
import type { StoreHeader } from './header/store-header.js';
import type { Storage } from './storage/storage.js';

export interface UpgradeContext {
  readonly storage: Storage;
  readonly header: StoreHeader;
  readonly audit: AuditLog;
  readonly stateDir: string;
  /** The folder of the audit log. */
  readonly auditFolder: string;
  readonly now: () => Date;
  onNotice(sentence: string): void;
}

/**
 * Brings a store of an older format to this one's, in place, once a backup of it as it was lies in the state folder. A crash
 * on the way leaves the old format, and the next start begins anew.
 *
 * - Format 2: the sealed summary holds, beside the digest, the store's sequence and a line of the audit log, and one without
 *   them is refused.
 * - Format 3: under the manifest there are records of revocations and of what was issued; heads, the manifest and the header
 *   know operations that are spent. An older coffer would take the first for tokens, and let the others count twice.
 * - Format 4: heads know which versions were put as binary, grants have conditions, and under the manifest there are records
 *   of transit keys. An older coffer would forget the first, grant without the second, and take the third for tokens.
 *
 * @throws CofferError `storage_full`, `io`: the store stays as it was
 */
export async function upgradeStore(context: UpgradeContext): Promise<void> {
  const { storage, header, audit, stateDir, auditFolder, now, onNotice } = context;
  const step = `format ${header.format} to ${STORE_FORMAT}`;
  const stamp = now()
    .toISOString()
    .replaceAll(/[-:]|\.\d+/g, '');
  const path = join(stateDir, `before-format-${STORE_FORMAT}-${stamp}.coffer-backup`);
  await writeBackup({ storage, ring: header.ring, auditFolder, madeAt: now() }, path);
  await audit.append({ caller: SERVER, action: 'upgrade', target: step }, { authorized: true });
  await header.commit({ format: STORE_FORMAT });
  // From this line on the log knows that the old format is of the past: its store, put back, is refused.
  await audit.checkpoint();
  onNotice(
    `The store was brought from ${step}. As it was, it is kept in ${path}, a backup that "coffer backup restore" takes; ` +
      'remove it when you are content.',
  );
}
