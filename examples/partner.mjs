/** What the tests beside it, partner.test.mjs, are about: it asks for a handle and keeps that, never the value. */
export class Partner {
  #url;
  #token;

  /**
   * @param {string} url
   * @param {import('@coffer/client').Secret} token
   */
  constructor(url, token) {
    this.#url = url;
    this.#token = token;
  }

  /** @param {string} path */
  request(path) {
    const headers = { authorization: `Bearer ${this.#token.reveal()}` };
    return new Request(new URL(path, this.#url), { headers });
  }
}
