export { Admin } from './admin.js';
export { Client, type ClientOptions } from './client.js';
export { type ClientErrorCode, CofferClientError } from './errors.js';
export type * from './types.js';
