import { expect, test } from 'vitest';

import { Asked } from '../src/storage/jetstream/heal-asked.js';

const asker = (name: number) => name.toString(16).padStart(32, '0');

test('each question is new once, also where some overtake others on the way', () => {
  const asked = new Asked();
  const numbers = [1, 3, 2, 5, 4];
  for (const number of numbers) expect(asked.isNew({ asker: asker(1), number })).toBe(true);
  for (const number of numbers) expect(asked.isNew({ asker: asker(1), number })).toBe(false);
  for (const number of numbers) expect(asked.isNew({ asker: asker(2), number })).toBe(true);
});

test('of a long heal the first questions are no news either', () => {
  const asked = new Asked();
  for (let number = 1; number <= 10_000; number++) {
    expect(asked.isNew({ asker: asker(1), number })).toBe(true);
  }
  for (let number = 1; number <= 10_000; number++) {
    expect(asked.isNew({ asker: asker(1), number })).toBe(false);
  }
});

test('who asks now is remembered longer than who asked long ago', () => {
  const asked = new Asked();
  const now = { asker: asker(0), number: 1 };
  for (let name = 0; name < 5_000; name++) {
    asked.isNew({ asker: asker(name), number: 1 });
    expect(asked.isNew(now)).toBe(false);
    asked.isNew({ asker: asker(0), number: name + 2 });
  }
  expect(asked.isNew({ asker: asker(4_999), number: 1 })).toBe(false);
});
