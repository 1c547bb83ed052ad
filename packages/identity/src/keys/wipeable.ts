/**
 * Short-lived memory for secret bytes. A typed array of up to 64 bytes would sit on V8's heap, where the garbage
 * collector leaves copies behind when it moves it; an `ArrayBuffer` stays where it is. (Locked memory is scarce
 * and kept for what lives long.)
 */
export const wipeable = (length: number): Buffer => Buffer.from(new ArrayBuffer(length));
