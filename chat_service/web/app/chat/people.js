/** Who is who in a chat: names for the ids that messages, replies and typing carry. */

import { displayName } from "../names.js";
import { knownUser } from "../people/known-people.js";

export class People {
  #chat;
  #list = null;
  #names = new Map();

  constructor(chat) {
    this.#chat = chat;
  }

  /**
   * A name by id, also of somebody who has left.
   *
   * @param {number} userId
   * @param {string} [otherwise] as long as it is not known, such as the username that a message carries
   */
  nameOf(userId, otherwise = "") {
    const { peer, participants } = this.#chat;
    if (peer?.id === userId) return displayName(peer);
    if (participants !== this.#list) {
      this.#list = participants;
      this.#names = new Map(participants?.map((one) => [one.user_id, displayName(one)]));
    }
    const name = this.#names.get(userId);
    if (name !== undefined || participants === null) return name ?? otherwise;
    const gone = knownUser(userId);
    return gone === null ? otherwise : displayName(gone);
  }
}
