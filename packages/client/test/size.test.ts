import { isBuiltin } from 'node:module';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { expect, test } from 'vitest';

const source = (path: string) => fileURLToPath(new URL(`../src/${path}`, import.meta.url));

/** What a program gets that takes these from the package: bytes, minified, with all that may be loaded later; and what it imports. */
async function bundle(names: string, entry = 'index.ts'): Promise<{ bytes: number; imports: string[] }> {
  const program = `export ${names} from ${JSON.stringify(source(entry))};`;
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
  const chunks = output.filter((file) => file.type === 'chunk');
  const own = new Set(chunks.map(({ fileName }) => fileName));
  return {
    bytes: chunks.reduce((sum, { code }) => sum + Buffer.byteLength(code), 0),
    imports: chunks
      .flatMap((chunk) => [...chunk.imports, ...chunk.dynamicImports])
      .filter((id) => !own.has(id)),
  };
}

test.each([
  ['all of the package but administration', '*', 'index.ts', 58_000],
  ['a program that calls the server', '{ Client }', 'index.ts', 26_500],
  ['a program that keeps secrets current', '{ Client, Store }', 'index.ts', 46_000],
  ['one that tests with secrets that never change', '{ StaticSecret }', 'index.ts', 1_000],
])('%s is small, and takes nothing but what Node has', async (_what, names, entry, budget) => {
  const { bytes, imports } = await bundle(names, entry);
  expect(bytes).toBeLessThan(budget);
  expect(imports.filter((id) => !isBuiltin(id))).toEqual([]);
});
