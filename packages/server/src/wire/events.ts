import type { WatchEvent } from '@coffer/engine';

/**
 * An event of a watch as server-sent events have it (HTML Living Standard, 9.2). JSON has no line break of its own.
 *
 * @param position how far the store is here, where several instances share it
 */
export function sentEvent(event: WatchEvent, position?: string): string {
  switch (event.kind) {
    case 'change': {
      const { name, activeVersion, versions } = event.secret;
      return sent('change', { name, activeVersion, versions, position }, event.id);
    }
    case 'delete':
      return sent('delete', { name: event.name, position }, event.id);
    case 'heartbeat':
      // Without data it is no event; the id tells where to go on all the same.
      return `: heartbeat\nid: ${event.id}\n\n`;
    case 'end':
      return endEvent(event.code, event.message);
    default:
      return sent(event.kind, { position }, event.id);
  }
}

/** The last one: the connection ends after it. */
export function endEvent(code: string, message: string): string {
  return sent('end', { code, message });
}

function sent(type: string, data: object, id?: string): string {
  const text = `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
  return id === undefined ? text : `id: ${id}\n${text}`;
}
