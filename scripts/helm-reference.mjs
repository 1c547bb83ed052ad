/**
 * Writes what the Helm chart's schema says of its values: docs/helm.md for people, and the chart's values.yaml, which has the
 * defaults.
 *
 *   node scripts/helm-reference.mjs           writes them
 *   node scripts/helm-reference.mjs --check   fails when they are not what would be written; .ci/run does this
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const schema = JSON.parse(readFileSync(at('deploy/helm/coffer/values.schema.json'), 'utf8'));
const GENERATED =
  'Made from deploy/helm/coffer/values.schema.json by scripts/helm-reference.mjs: change that, and run it.';

const files = { 'docs/helm.md': reference(), 'deploy/helm/coffer/values.yaml': values() };
if (process.argv[2] === '--check') check();
else for (const [path, text] of Object.entries(files)) writeFileSync(at(path), text);

function check() {
  const stale = Object.entries(files).filter(([path, text]) => readFileSync(at(path), 'utf8') !== text);
  if (stale.length === 0) return;
  for (const [path] of stale)
    console.error(`${path} is not what the chart's schema says: run node scripts/helm-reference.mjs`);
  process.exitCode = 1;
}

/** With what it refers to; its own words go first. */
function resolved(node) {
  if (node.$ref === undefined) return node;
  const { $ref, ...own } = node;
  return { ...schema.$defs[$ref.replace('#/$defs/', '')], ...own };
}

function reference() {
  const sections = Object.entries(schema.properties)
    .filter(([name]) => name !== 'global')
    .map(([name, node]) => rowsOf(name, node));
  const backends = ['vaultBackend', 'kubernetesBackend'].map((name) => {
    const { properties } = schema.$defs[name];
    const rows = Object.entries(properties).flatMap(([key, node]) => rowsOf(`backends[].${key}`, node));
    return `### A backend of kind ${properties.kind.const}\n\n${tableOf(rows)}`;
  });
  return `<!-- ${GENERATED} -->

# Values of the Helm chart

What \`helm install coffer deploy/helm/coffer --values FILE\` takes. [Deploying](deploy.md#kubernetes) says how to begin. The chart refuses any other value, and any secret that
stands in the values themselves: secrets are named, never written. \`helm template\` and \`helm lint\` ask no cluster for its version, and take the one that Helm was built with: where that is older than the chart
wants, as in a Helm that you have built yourself, add \`--kube-version 1.33.0\`.

${tableOf(sections.flat())}

## Backends

${backends.join('\n\n')}
`;
}

function tableOf(rows) {
  return ['| value | type | default | |', '|---|---|---|---|', ...rows].join('\n');
}

/** A value, and all that is below it. */
function rowsOf(path, stated) {
  const node = resolved(stated);
  const below = Object.entries(node.properties ?? {}).flatMap(([key, child]) =>
    rowsOf(`${path}.${key}`, child),
  );
  // What names a Secret's entry is one thing.
  if (isReference(node)) return [row(path, 'a Secret’s `{name, key}`', node)];
  const items = node.type === 'array' && node.items.properties !== undefined;
  const entries = items
    ? Object.entries(node.items.properties).flatMap(([key, child]) => rowsOf(`${path}[].${key}`, child))
    : [];
  const own = node.properties === undefined || node.description ? [row(path, typeOf(node), node)] : [];
  return [...own, ...below, ...entries];
}

function isReference({ properties }) {
  return (
    properties !== undefined &&
    Object.keys(properties).join() === 'name,key' &&
    properties.key.description !== undefined
  );
}

function row(path, type, { default: value, description = '', properties }) {
  const shown = value === undefined || properties !== undefined ? '' : `\`${JSON.stringify(value)}\``;
  return `| \`${path}\` | ${type} | ${shown} | ${description.replaceAll('|', '\\|')} |`;
}

function typeOf({ type, enum: choices, const: only, items }) {
  if (only !== undefined) return `\`${only}\``;
  if (choices !== undefined) return choices.map((choice) => `\`${choice}\``).join(', ');
  if (type !== 'array') return type;
  const of = resolved(items);
  return of.type === undefined || of.type === 'object' ? 'list' : `list of ${of.type}s`;
}

function values() {
  const lines = Object.entries(schema.properties)
    .filter(([name]) => name !== 'global')
    .map(([name, node]) => linesOf(name, node, ''))
    .flatMap((lines) => (lines.length === 0 ? [] : ['', ...lines]));
  return `# ${GENERATED}\n# docs/helm.md has those, too, that have no default.\n${lines.join('\n')}\n`;
}

function linesOf(name, stated, indent) {
  const node = resolved(stated);
  const comment = node.description ? [`${indent}# ${node.description}`] : [];
  const children = Object.entries(node.properties ?? {}).flatMap(([key, child]) =>
    linesOf(key, child, `${indent}  `),
  );
  if (node.properties !== undefined && !isReference(node)) {
    return [
      ...comment,
      ...(children.some((line) => !line.trim().startsWith('#'))
        ? [`${indent}${name}:`, ...children]
        : [`${indent}${name}: {}`]),
    ];
  }
  if (node.default === undefined) return [];
  const text = stringify({ [name]: node.default }).trimEnd();
  return [...comment, ...text.split('\n').map((line) => `${indent}${line}`)];
}
