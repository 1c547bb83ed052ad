/**
 * Writes the API reference of the client library and of the testing package, docs/reference/*.md, from their docstrings.
 *
 *   node scripts/api-reference.mjs           writes it
 *   node scripts/api-reference.mjs --check   fails when it is not what would be written; .ci/run does this
 *
 * The generator (typedoc) needs a TypeScript with a compiler API, which the one of this workspace has not. It is installed
 * apart, when it is first wanted, into ${COFFER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coffer}/api-reference; what
 * is there is what api-reference/package-lock.json says. It fails for an export without a docstring, and for a link in
 * one that leads nowhere. Run `npm run build` first: of other packages it reads what is built.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const GENERATED =
  '<!-- Made from the docstrings by scripts/api-reference.mjs: change them, and run it. -->\n\n';

const source = fileURLToPath(new URL('api-reference/', import.meta.url));
const reference = fileURLToPath(new URL('../docs/reference/', import.meta.url));
const cache =
  process.env.COFFER_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'coffer');
const generator = join(cache, 'api-reference');

install();
const pages = generate();
if (process.argv[2] === '--check') check(pages);
else write(pages);

/** Installs the generator unless what is there was made from these very files. */
function install() {
  const files = ['package.json', 'package-lock.json', 'theme.js'];
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(join(source, file)));
  const wanted = hash.digest('hex');
  const stamp = join(generator, 'stamp');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;

  console.log('Installing the generator of the API reference …');
  mkdirSync(generator, { recursive: true });
  for (const file of files) copyFileSync(join(source, file), join(generator, file));
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], generator);
  writeFileSync(stamp, wanted);
}

/** The pages by their file names. */
function generate() {
  const out = mkdtempSync(join(tmpdir(), 'coffer-reference-'));
  try {
    const plugins = [
      join(generator, 'node_modules/typedoc-plugin-markdown/dist/index.js'),
      join(generator, 'theme.js'),
    ];
    run(process.execPath, [
      join(generator, 'node_modules/typedoc/bin/typedoc'),
      ...['--options', join(source, 'typedoc.json'), '--out', out, '--logLevel', 'Warn'],
      ...plugins.flatMap((plugin) => ['--plugin', plugin]),
    ]);
    // Its list of the pages is in the README of the project already.
    const names = readdirSync(out).filter((name) => name !== 'README.md');
    return new Map(names.map((name) => [name, tidy(readFileSync(join(out, name), 'utf8'))]));
  } finally {
    rmSync(out, { recursive: true });
  }
}

function tidy(text) {
  return `${GENERATED}${text.replace(/ +$/gm, '').trimEnd()}\n`;
}

function write(pages) {
  rmSync(reference, { recursive: true, force: true });
  mkdirSync(reference);
  for (const [name, text] of pages) writeFileSync(join(reference, name), text);
  console.log(`docs/reference: ${[...pages.keys()].join(', ')}`);
}

function check(pages) {
  const there = existsSync(reference) ? readdirSync(reference) : [];
  const stale = [...new Set([...pages.keys(), ...there])].filter((name) => {
    const path = join(reference, name);
    return !existsSync(path) || readFileSync(path, 'utf8') !== pages.get(name);
  });
  if (stale.length === 0) return;
  console.error(`docs/reference is not current (${stale.join(', ')}): run node scripts/api-reference.mjs`);
  process.exit(1);
}

function run(command, args, cwd) {
  const { status, error } = spawnSync(command, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(1);
}
