import type { WatchEvent } from '@coffer/client';
import { type ConnectionOptions, withClient } from '../connection.js';
import { during } from '../failure.js';
import { note, print } from '../output.js';
import { displayName, jsonText } from '../quote.js';

/** Prints changes as they happen, a line each, until it is interrupted or the caller's right ends. */
export async function watch(
  patterns: readonly string[],
  options: ConnectionOptions & { since?: string; json?: boolean },
): Promise<void> {
  const { since, json } = options;
  await withClient(options, (client) =>
    during(
      'the watch ended',
      printAll(
        client.watch({
          secrets: patterns,
          since,
          onTrouble: ({ message }) => say(`warning: ${message}; trying again`),
          onRecovered: () => say('connected again'),
        }),
        json ? jsonText : inWords,
      ),
    ),
  );
}

/** The watch goes on when nobody reads this. */
function say(text: string): void {
  note(`coffer: ${text}`).catch(() => {});
}

async function printAll(
  events: AsyncIterable<WatchEvent>,
  line: (event: WatchEvent) => string,
): Promise<void> {
  for await (const event of events) await print(line(event));
}

function inWords(event: WatchEvent): string {
  switch (event.type) {
    case 'change':
      return `change ${displayName(event.name)} active ${event.activeVersion} versions ${event.versions.join(',')}`;
    case 'delete':
      return `delete ${displayName(event.name)}`;
    default:
      return event.type;
  }
}
