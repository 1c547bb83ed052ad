import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client, SecretBytes } from '../../packages/client/src/index.js';
import { LIMITED, TARGETS, type Target } from './targets.js';

const bytes = (text: string) => SecretBytes.copyOf(new TextEncoder().encode(text));

describe.each(TARGETS)("coffer's client asks $name for many secrets", ({ start }) => {
  let target: Target;
  beforeAll(async () => {
    target = await start();
  });
  afterAll(async () => target?.[Symbol.asyncDispose]());

  it('and gets the same answers', async ({ skip }) => {
    await using client = new Client({ server: target.url });
    for (const name of ['shared/a', 'info-only/b']) await client.put(name, bytes(name));
    await client.put('shared/a', bytes('two'));
    await client.activate('shared/a', 2);
    const requests = [
      { name: 'shared/a' },
      { name: 'shared/a', version: 1 },
      { name: 'shared/a', version: 3 },
      { name: 'shared/none' },
      { name: 'shared/a', known: 2 },
      { name: 'shared/a', known: 1 },
      { name: 'info-only/b' },
    ];
    const answers = [
      { name: 'shared/a', version: 2, value: bytes('two') },
      { name: 'shared/a', version: 1, value: bytes('shared/a') },
      { name: 'shared/a', error: 'not_found' },
      { name: 'shared/none', error: 'not_found' },
      { name: 'shared/a', version: 2, unchanged: true },
      { name: 'shared/a', version: 2, value: bytes('two') },
      { name: 'info-only/b', version: 1, value: bytes('info-only/b') },
    ];
    expect(await client.getMany(requests)).toEqual(answers);
    if (target.limitedUrl === undefined) return skip('with --dev there is but one caller');
    expect(LIMITED).toContainEqual({ actions: ['info'], secrets: ['info-only/*'] });
    await using limited = new Client({ server: target.limitedUrl });
    expect(await limited.getMany(requests)).toEqual([
      ...answers.slice(0, -1),
      { name: 'info-only/b', error: 'access_denied' },
    ]);
  });
});

it("coffer's client learns that setec cannot tell of changes", async () => {
  const [setec] = TARGETS;
  await using target = await (setec as (typeof TARGETS)[number]).start();
  await using client = new Client({ server: target.url });
  await expect(client.watch().next()).rejects.toMatchObject({ code: 'unsupported' });
});
