/** Making an account over a network that loses answers: what was begun is gone on with, not begun again. */

import {asChatError} from "./errors.js";

/** @import {Rest} from "./rest.js" */
/** @import {Me} from "./types.js" */

/** @typedef {{username: string, email: string, password: string, full_name?: string}} Fields */

export class Registration {
  /** The account that was being made last. @type {{id: string, isMade: boolean}|null} */
  #unfinished = null;
  #rest;
  #signIn;

  /** @param {Rest} rest @param {(username: string, password: string) => Promise<Me>} signIn */
  constructor(rest, signIn) {
    this.#rest = rest;
    this.#signIn = signIn;
  }

  /** @param {Fields} fields @returns {Promise<Me>} */
  async run(fields) {
    const {username, email, password} = fields;
    const id = JSON.stringify([username, email, password]);
    const isRepeated = this.#unfinished?.id === id;
    if (!isRepeated) this.#unfinished = {id, isMade: false};
    const me = this.#unfinished?.isMade ? await this.#signIn(username, password) : await this.#make(fields, isRepeated);
    this.#unfinished = null;
    return me;
  }

  /** @param {Fields} fields @param {boolean} isRepeated @returns {Promise<Me>} */
  async #make(fields, isRepeated) {
    try {
      await this.#rest.call("POST", "/users/register", {body: fields});
    } catch (caught) {
      const error = asChatError(caught);
      if (isRepeated && /_taken$/.test(error.code)) return this.#claim(fields, error);
      if (!error.isTransient) this.#unfinished = null;
      throw error;
    }
    if (this.#unfinished) this.#unfinished.isMade = true;
    return this.#signIn(fields.username, fields.password);
  }

  /** The name may be taken by the call whose answer was lost; then the password fits.
   * @param {Fields} fields @param {Error} refusal @returns {Promise<Me>} */
  async #claim({username, password}, refusal) {
    try {
      return await this.#signIn(username, password);
    } catch (error) {
      throw asChatError(error).isTransient ? error : refusal;
    }
  }
}
