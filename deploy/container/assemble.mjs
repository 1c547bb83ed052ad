/**
 * Puts together what the image has of coffer: of the command, and of each package that it needs, what is built of it.
 *
 *   node assemble.mjs SOURCE TARGET
 *
 * Every workspace's package.json and the lock file come along, by which npm then installs what they need from elsewhere.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const [source, target] = process.argv.slice(2);

const folders = readdirSync(join(source, 'packages')).map((name) => join('packages', name));
const manifests = folders.map((folder) => join(folder, 'package.json'));
const workspaces = new Map(manifests.map((path) => [read(path).name, dirname(path)]));
for (const file of ['package.json', 'package-lock.json', ...manifests]) copy(file);
for (const name of neededBy('@coffer/cli')) {
  for (const part of ['dist', 'bin']) {
    const path = join(workspaces.get(name), part);
    if (existsSync(join(source, path))) copy(path, (file) => !/\.(d\.ts|map)$/.test(file));
  }
}
cpSync(new URL('ready.mjs', import.meta.url), join(target, 'ready.mjs'));

/** The package itself, and what of this repository it needs. */
function neededBy(name, seen = new Set()) {
  if (!workspaces.has(name) || seen.has(name)) return seen;
  seen.add(name);
  const { dependencies = {} } = read(join(workspaces.get(name), 'package.json'));
  for (const one of Object.keys(dependencies)) neededBy(one, seen);
  return seen;
}

function read(path) {
  return JSON.parse(readFileSync(join(source, path), 'utf8'));
}

function copy(path, filter = () => true) {
  mkdirSync(dirname(join(target, path)), { recursive: true });
  cpSync(join(source, path), join(target, path), { recursive: true, filter });
}
