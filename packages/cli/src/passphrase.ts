import { Failure } from './failure.js';
import { HiddenPrompt } from './hidden-prompt.js';

export type PromptPassphrase = (question: string) => Promise<Uint8Array>;

/** Asks for the passphrase of a root key on the terminal. */
export async function promptPassphrase(question: string): Promise<Uint8Array> {
  if (!process.stdin.isTTY) {
    throw new Failure(
      'there is no terminal to ask for the passphrase: use --root-key passphrase:file:PATH or passphrase:env:NAME',
    );
  }
  const prompt = new HiddenPrompt(process.stdin, process.stderr);
  try {
    return await prompt.ask(`${question.replace(/:?\s*$/, '')}: `);
  } finally {
    prompt.close();
  }
}

/** For what needs the same passphrase more than once: asks the first time, and forgets when `use` is over. */
export async function askingOnce<T>(use: (prompt: PromptPassphrase) => Promise<T>): Promise<T> {
  let known: Uint8Array | undefined;
  try {
    return await use(async (question) => {
      known ??= await promptPassphrase(question);
      // Who gets it wipes it.
      return Uint8Array.from(known);
    });
  } finally {
    known?.fill(0);
  }
}
