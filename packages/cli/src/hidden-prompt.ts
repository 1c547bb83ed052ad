import type { ReadStream } from 'node:tty';
import { Failure } from './failure.js';
import { write } from './output.js';

const CTRL_C = 0x03;
const CTRL_D = 0x04;
const BACKSPACE = 0x08;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;
const CTRL_U = 0x15;
const DELETE = 0x7f;

/**
 * Asks on a terminal for what must not show on it: from the first question until it is closed, nothing that is typed does.
 * Input beyond a line is kept for the next question, so that two lines pasted at once answer two.
 */
export class HiddenPrompt {
  readonly #input: ReadStream;
  readonly #output: NodeJS.WritableStream;
  #pending = Buffer.alloc(0);

  constructor(input: ReadStream, output: NodeJS.WritableStream) {
    this.#input = input;
    this.#output = output;
  }

  /** A line as bytes, without its end; the caller wipes it. Ctrl-C, or Ctrl-D on an empty line, is a Failure. */
  async ask(question: string): Promise<Uint8Array> {
    // Before the question shows: who sees it may answer at once.
    this.#input.setRawMode(true);
    await write(this.#output, question);
    try {
      return await this.#line();
    } finally {
      await write(this.#output, '\n');
    }
  }

  /** Gives the terminal back as it was, and wipes what was typed beyond the last answer. */
  close(): void {
    this.#input.setRawMode(false);
    this.#pending.fill(0);
  }

  #line(): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const line: number[] = [];
      const end = () => {
        // At once: what a flowing stream brings while nobody listens is lost.
        this.#input.pause();
        this.#input.off('data', take);
        this.#input.off('end', hangUp);
        this.#input.off('error', hangUp);
      };
      const hangUp = () => {
        end();
        reject(new Failure('no input, aborting'));
      };
      const take = (chunk: Buffer) => {
        for (const [index, byte] of chunk.entries()) {
          const outcome = edit(line, byte);
          if (outcome === 'more') continue;
          end();
          this.#pending = Buffer.from(chunk.subarray(index + 1));
          if (outcome === 'abort') reject(new Failure('aborted'));
          else resolve(Uint8Array.from(line));
          break;
        }
        chunk.fill(0);
      };
      const pending = this.#pending;
      this.#pending = Buffer.alloc(0);
      this.#input.on('end', hangUp);
      this.#input.on('error', hangUp);
      this.#input.on('data', take);
      this.#input.resume();
      take(pending);
    });
  }
}

/** Does what a terminal's own line editing would; raw mode, which alone hides the input, turns that off. */
function edit(line: number[], byte: number): 'more' | 'done' | 'abort' {
  switch (byte) {
    case RETURN:
    case LINE_FEED:
      return 'done';
    case CTRL_C:
      return 'abort';
    case CTRL_D:
      return line.length === 0 ? 'abort' : 'done';
    case CTRL_U:
      line.length = 0;
      return 'more';
    case BACKSPACE:
    case DELETE:
      while (isContinuation(line.pop())) {}
      return 'more';
    default:
      line.push(byte);
      return 'more';
  }
}

/** A character of UTF-8 is its first byte and those that continue it. */
function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}
