/** Values that are read by name and not shown otherwise. Nothing of it but the names can be listed, copied or serialised. */
export class FilledFields {
  constructor(values: Iterable<readonly [name: string, value: unknown]>) {
    for (const [name, value] of values) Object.defineProperty(this, name, { get: () => value });
    Object.freeze(this);
  }

  toJSON(): object {
    return redacted(this);
  }

  [Symbol.for('nodejs.util.inspect.custom')](): object {
    return redacted(this);
  }
}

function redacted(filled: FilledFields): object {
  return Object.fromEntries(Object.getOwnPropertyNames(filled).map((name) => [name, '[redacted]']));
}
