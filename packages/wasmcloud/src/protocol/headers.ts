/** The caller's public xkey, on requests that are sealed or whose answer is. NATS tells upper and lower case apart. */
export const HOST_XKEY = 'WasmCloud-Host-Xkey';
/** The public xkey that an answer is sealed from. */
export const RESPONSE_XKEY = 'Server-Response-Xkey';
/** coffer's own: shows who sends an administrative request. */
export const PROOF = 'Coffer-Proof';
/** Written by nats-server, where a service import shares its requester. */
export const REQUEST_INFO = 'Nats-Request-Info';

/** What the headers of a sealed answer add to its size, in bytes: an xkey has 56 characters. */
export const ANSWER_HEADER_BYTES = `NATS/1.0\r\n${RESPONSE_XKEY}: ${'X'.repeat(56)}\r\n\r\n`.length;
