import { PassThrough } from 'node:stream';
import type { ReadStream } from 'node:tty';
import { expect, test, vi } from 'vitest';
import { HiddenPrompt } from '../src/hidden-prompt.js';

/** A terminal's keyboard: what is typed arrives raw, and whether it would show is noted. */
function terminal() {
  const keyboard = Object.assign(new PassThrough(), {
    raw: false,
    setRawMode(on: boolean) {
      this.raw = on;
      return this;
    },
  });
  const screen = new PassThrough();
  const prompt = new HiddenPrompt(keyboard as unknown as ReadStream, screen);
  return { keyboard, screen, prompt, ask: async () => Buffer.from(await prompt.ask('Secret: ')).toString() };
}

test('shows the question and not the answer', async () => {
  const { keyboard, screen, prompt, ask } = terminal();
  const shown = vi.fn((_text: Buffer) => keyboard.raw);
  screen.on('data', shown);
  const answer = ask();
  keyboard.write('hunter2\r');
  expect(await answer).toBe('hunter2');
  prompt.close();
  expect(shown.mock.calls.map(([text]) => String(text)).join('')).toBe('Secret: \n');
  expect(shown.mock.results.map(({ value }) => value)).not.toContain(false);
  expect(keyboard.raw).toBe(false);
});

test('hides what is typed between two questions', async () => {
  const { keyboard, prompt, ask } = terminal();
  const first = ask();
  keyboard.write('one\r');
  await first;
  expect(keyboard.raw).toBe(true);
  prompt.close();
});

test('two lines that come at once answer two questions', async () => {
  const { keyboard, ask } = terminal();
  keyboard.write('one\ntwo\nthr');
  keyboard.write('ee\n');
  expect([await ask(), await ask(), await ask()]).toEqual(['one', 'two', 'three']);
});

test('backspace takes back a character, Ctrl-U all of them', async () => {
  const { keyboard, ask } = terminal();
  keyboard.write('wrong\u0015abé\u007f\u007f\u0008\u0008\u0008xyz€\u007f\r');
  expect(await ask()).toBe('xyz');
});

test.each([
  ['Ctrl-C', 'abc\u0003', 'aborted'],
  ['Ctrl-D on an empty line', '\u0004', 'aborted'],
])('%s ends the question', async (_key, typed, message) => {
  const { keyboard, prompt, ask } = terminal();
  keyboard.write(typed);
  await expect(ask()).rejects.toThrow(message);
  prompt.close();
  expect(keyboard.raw).toBe(false);
});

test('a terminal that hangs up ends the question', async () => {
  const { keyboard, ask } = terminal();
  keyboard.end('half a lin');
  await expect(ask()).rejects.toThrow('no input');
});
