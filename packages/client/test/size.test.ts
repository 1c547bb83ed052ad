import { isBuiltin } from 'node:module';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { expect, test } from 'vitest';

const source = fileURLToPath(new URL('../src/index.ts', import.meta.url));

/**
 * What a program gets that takes these from the package: bytes, minified, of what is loaded when it begins, and of all that may be loaded
 * later too; and what it imports.
 */
async function bundle(names: string): Promise<{ atOnce: number; all: number; imports: string[] }> {
  const program = `export ${names} from ${JSON.stringify(source)};`;
  const build = await rolldown({
    input: 'program',
    platform: 'node',
    external: isBuiltin,
    resolve: { extensionAlias: { '.js': ['.ts'] } },
    plugins: [
      {
        name: 'program',
        resolveId: (id) => (id === 'program' ? id : null),
        load: (id) => (id === 'program' ? program : null),
      },
    ],
  });
  const { output } = await build.generate({ format: 'esm', minify: true });
  await build.close();
  const chunks = new Map(output.flatMap((file) => (file.type === 'chunk' ? [[file.fileName, file]] : [])));
  const begun = new Set<string>();
  const load = (name: string): void => {
    const chunk = chunks.get(name);
    if (!chunk || begun.has(name)) return;
    begun.add(name);
    chunk.imports.forEach(load);
  };
  for (const { fileName, isEntry } of chunks.values()) if (isEntry) load(fileName);
  const sizeOf = (names: Iterable<string>) =>
    [...names].reduce((sum, name) => sum + Buffer.byteLength(chunks.get(name)?.code ?? ''), 0);
  return {
    atOnce: sizeOf(begun),
    all: sizeOf(chunks.keys()),
    imports: [...chunks.values()]
      .flatMap((chunk) => [...chunk.imports, ...chunk.dynamicImports])
      .filter((id) => !chunks.has(id)),
  };
}

// What creds, refusals, caches, keyrings and the like need is loaded by who meets them.
test.each([
  ['a program that calls the server', '{ Client }', 21_300, 29_700],
  ['a program that keeps secrets current', '{ Client, Store }', 39_000, 56_900],
  ['all of the package but administration', '*', 54_600, 69_900],
  ['one that tests with secrets that never change', '{ StaticSecret }', 1_100, 1_100],
])('%s is small, and takes nothing but what Node has', async (_what, names, atOnceBudget, budget) => {
  const { atOnce, all, imports } = await bundle(names);
  expect(atOnce).toBeLessThan(atOnceBudget);
  expect(all).toBeLessThan(budget);
  expect(imports.filter((id) => !isBuiltin(id))).toEqual([]);
});
