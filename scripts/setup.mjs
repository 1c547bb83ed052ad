/**
 * Makes a fresh clone ready to run: installs what package-lock.json names, then builds. `npm start` and `npm test`
 * run it first; it is quiet and quick when there is nothing to do. It uses Node's built-in modules only.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const OLDEST_NODE = [20, 19];

checkNode();
install();
build();

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  fail(`coffer needs Node ${OLDEST_NODE.join('.')} or newer, and this is ${process.versions.node}`);
}

/** Installs unless the stamp in node_modules says that this very lock file is installed, for this platform. */
function install() {
  const stamp = join(root, 'node_modules', '.coffer-setup');
  const wanted = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .update(`${process.platform} ${process.arch}`)
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;

  console.log('Installing packages (npm ci) …');
  // Started by npm itself, this is the npm that started it; by hand, the one on the PATH.
  const npm = process.env.npm_execpath;
  const [command, first] = npm === undefined ? ['npm', []] : [process.execPath, [npm]];
  const options = ['--ignore-scripts', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  run(command, [...first, 'ci', ...options], 'installing packages failed; is the npm registry reachable?');
  writeFileSync(stamp, wanted);
}

function build() {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  run(process.execPath, [tsc, '--build'], 'the build failed: see the errors above');
}

function run(command, args, sentence) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error !== undefined) fail(`${sentence} (${error.message})`);
  if (status !== 0) fail(sentence);
}

function fail(sentence) {
  console.error(`setup: ${sentence}`);
  process.exit(1);
}
