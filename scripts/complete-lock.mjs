/**
 * Adds to package-lock.json the packages for other platforms that npm left out because its registry did not have
 * them. npm writes such a lock file and then refuses it: `npm ci` says "Missing: … from lock file". Each added entry
 * holds the exact version that its parent asks for, and no integrity, which only the package itself could give.
 *
 * Run it after an `npm install` that changed the lock file: node scripts/complete-lock.mjs
 */
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const { packages } = lock;

for (const parent of Object.values({ ...packages })) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    if (path in packages) continue;
    packages[path] = { version, ...platformOf(name), ...(parent.dev && { dev: true }), optional: true };
    console.log(`added ${name} ${version}`);
  }
}

const inOrder = Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = Object.fromEntries(inOrder);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);

/** What the package runs on, as its name tells: such packages end in OS-CPU or OS-CPU-LIBC. */
function platformOf(name) {
  const match =
    /-(?<os>android|darwin|freebsd|linux|win32)-(?<cpu>[a-z0-9]+)(?:-(?<libc>musl|glibc|gnu))?$/.exec(name);
  if (match === null) throw new Error(`the name of ${name} does not tell its platform; add it by hand`);
  const { os, cpu, libc } = match.groups;
  return { os: [os], cpu: [cpu], ...(os === 'linux' && { libc: [libc === 'musl' ? 'musl' : 'glibc'] }) };
}
