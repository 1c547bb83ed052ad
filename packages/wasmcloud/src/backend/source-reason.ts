/**
 * Why a source refuses, where the protocol's error has no text for it (`Unauthorized`, `SecretNotFound`, `InvalidRequest`): as the
 * cause of that error. Its message is for those who run the service, in their log, and holds no value, no key and no token.
 */
export class SourceReason extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SourceReason';
  }
}
