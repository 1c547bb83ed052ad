import { describe, expect, test } from 'vitest';
import { Admin } from '../src/admin/index.js';
import { Client } from '../src/index.js';
import { answering } from './http-server.js';

const grant = { to: ['token:a'], actions: ['get'], secrets: ['a'] };

/** What the client makes of this answer to the question for the policy. */
async function policyOf(answer: object): Promise<unknown> {
  await using server = await answering(200, JSON.stringify({ generation: 1, grants: [answer] }));
  return (await new Admin(new Client({ server: server.url })).policy()).grants[0];
}

describe('a grant', () => {
  test.each([{ application: ['shop'], host: ['N*'] }, { application: ['shop'] }, { host: ['N*'] }])(
    'has its conditions: %j',
    async (when) => {
      expect(await policyOf({ ...grant, when })).toEqual({ ...grant, when });
    },
  );

  test('has none where the server says of none', async () => {
    expect(await policyOf(grant)).toEqual(grant);
    expect(await policyOf({ ...grant, when: null })).toEqual(grant);
  });

  test.each([
    ['that are no object', 'shop'],
    ['that are no lists', { application: 'shop' }],
    ['that are no texts', { host: [1] }],
    [
      'that the client does not know, since without them it would seem wider',
      { application: ['a'], later: ['b'] },
    ],
  ])('with conditions %s is "bad_answer"', async (_, when) => {
    await expect(policyOf({ ...grant, when })).rejects.toMatchObject({ code: 'bad_answer' });
  });
});
