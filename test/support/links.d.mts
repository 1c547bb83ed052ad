/** A direction of a link: from who dials to whom is dialled, or the answers. */
export type Direction = 'there' | 'back';

/** A TCP proxy on a port of its own of 127.0.0.1 that stands for a piece of network, and can be cut. */
export class Link implements AsyncDisposable {
  /** @param target where it leads; until it is given, connections are refused */
  static open(target?: { readonly host: string; readonly port: number }): Promise<Link>;
  target: { readonly host: string; readonly port: number } | undefined;
  readonly port: number;
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  readonly connections: number;
  /**
   * Nothing comes through any more, not even the end of a connection, in one direction or both: both sides are left to find out by
   * themselves. What was sent meanwhile comes through after {@link mend}, as TCP repeats it.
   */
  cut(direction?: Direction): void;
  /** All that comes through from now on takes so much longer, each way. */
  delay(milliseconds: number): void;
  /** Resets its connections and refuses new ones. */
  break(): void;
  /** As it was in the beginning. */
  mend(): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
