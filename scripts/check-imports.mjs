/**
 * Holds the rule that imports between packages point one way (DESIGN: "The rooms"). Looks at every static and
 * dynamic import in packages/NAME/{src,bin}, types included, and at the dependencies in each package.json. A
 * package may import itself by relative paths inside its folder, Node's modules, what its package.json declares,
 * and of coffer's own packages those below. Prints each violation as FILE:LINE and exits 1.
 *
 * The tests are free to import more. Usage: node scripts/check-imports.mjs [ROOT]
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const EVERY = Symbol('every package');
const MAY_IMPORT = {
  identity: [],
  engine: [],
  client: [],
  console: [],
  wasmcloud: ['identity'],
  server: ['engine', 'identity', 'wasmcloud'],
  testing: ['engine', 'server'],
  cli: EVERY,
};
/** What a user of the package gets along with it: nothing. */
const WITHOUT_DEPENDENCIES = ['client'];
const SCOPE = '@coffer/';
/** Loads what an operator names in the configuration, which nobody can know here. */
const LOADS_ANYTHING = 'packages/server/src/backends/module.ts';

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), '..'));
const packages = readdirSync(join(root, 'packages'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && existsSync(join(root, 'packages', entry.name, 'package.json')))
  .map((entry) => entry.name);

const violations = packages.flatMap((name) => [...manifestViolations(name), ...sourceViolations(name)]);
for (const violation of violations) console.error(violation);
if (violations.length > 0) {
  console.error(
    `check-imports: ${violations.length} import(s) against the rule in scripts/check-imports.mjs`,
  );
  process.exit(1);
}

function* manifestViolations(name) {
  const file = join(root, 'packages', name, 'package.json');
  const lines = readFileSync(file, 'utf8').split('\n');
  const at = (text) => `${relative(root, file)}:${lines.findIndex((line) => line.includes(`"${text}"`)) + 1}`;
  if (!(name in MAY_IMPORT)) {
    yield `${at('name')}: no rule says what ${name} may import; add one to scripts/check-imports.mjs`;
  }
  for (const dependency of declaredBy(name)) {
    if (!mayImport(name, dependency)) yield `${at(dependency)}: ${name} must not depend on ${dependency}`;
    if (WITHOUT_DEPENDENCIES.includes(name)) yield `${at(dependency)}: ${name} must have no dependency`;
  }
}

function* sourceViolations(name) {
  const folder = join(root, 'packages', name);
  const declared = declaredBy(name);
  for (const file of [...sourcesIn(join(folder, 'src')), ...sourcesIn(join(folder, 'bin'))]) {
    for (const { specifier, line } of importsOf(readFileSync(file, 'utf8'))) {
      if (specifier === undefined && relative(root, file) === LOADS_ANYTHING) continue;
      const problem = problemWith(specifier, { name, folder, file, declared });
      if (problem !== undefined) yield `${relative(root, file)}:${line}: ${problem}`;
    }
  }
}

function problemWith(specifier, { name, folder, file, declared }) {
  if (specifier === undefined) return 'the name of a dynamic import must be a literal, to be checked';
  if (specifier.startsWith('.')) {
    const target = resolve(dirname(file), specifier);
    return target.startsWith(folder + sep)
      ? undefined
      : `${name} must not reach into ${relative(root, target)}`;
  }
  if (isBuiltin(specifier)) return undefined;
  const dependency = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  if (!mayImport(name, dependency)) return `${name} must not import ${dependency}`;
  if (!declared.includes(dependency))
    return `${name} imports ${dependency}, which its package.json does not declare`;
  return undefined;
}

function mayImport(name, dependency) {
  if (!dependency.startsWith(SCOPE)) return true;
  const allowed = MAY_IMPORT[name] ?? [];
  return allowed === EVERY || allowed.includes(dependency.slice(SCOPE.length));
}

function declaredBy(name) {
  const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));
  return ['dependencies', 'peerDependencies', 'optionalDependencies'].flatMap((key) =>
    Object.keys(manifest[key] ?? {}),
  );
}

function sourcesIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|tsx|js|mjs)$/.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

/** Every import, re-export, `import()` and `require()` of a source text; `specifier` is absent where it is no literal. */
function* importsOf(source) {
  const code = blankComments(source);
  // Behind a quote it is a text of its own, as the name of a command.
  const fromClause = /(?<!['"`])\b(?:from|import)\s*(['"])(?<specifier>[^'"\n]+)\1/;
  const importCall = /(?<![.\w])import\s*\(\s*(?:(['"`])(?<specifier>[^'"`$\n]+)\1)?/;
  const requireCall = /(?<![.\w])require\s*\(\s*(['"])(?<specifier>[^'"\n]+)\1/;
  for (const form of [fromClause, importCall, requireCall]) {
    for (const match of code.matchAll(new RegExp(form, 'g'))) {
      const line = code.slice(0, match.index).split('\n').length;
      yield { specifier: match.groups.specifier, line };
    }
  }
}

/** Replaces comments by blanks, so that examples in them do not count and lines stay where they are. */
function blankComments(source) {
  const stringsAndComments =
    /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return source.replace(stringsAndComments, (text) =>
    text.startsWith('/') ? text.replace(/[^\n]/g, ' ') : text,
  );
}
