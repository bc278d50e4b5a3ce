/** The people of a group with their roles, oneself first, and a menu of what one may do with each of them. */

import { html } from "htm/preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { openDirectChat } from "../chats/open-direct-chat.js";
import { errorSentence } from "../errors.js";
import { t } from "../i18n.js";
import { displayName, matchesPerson } from "../names.js";
import { PersonFace } from "../people/person-row.js";
import { chatRevision, client, connection, locale, me } from "../state.js";
import { announce, confirmAction, openMenu, SearchField, showToast, VirtualList } from "../ui/index.js";
import { mayRemove, rolesToGive } from "./rules.js";

const ROW_REM = 3.5;
const SEARCH_FROM = 12;
const LOOK_AGAIN_MS = 20_000;
const RANKS = { owner: 0, admin: 1, member: 2 };
const ROLE_ICONS = { owner: "crown", admin: "shield", member: "person" };

export function MemberList({ chat }) {
  chatRevision(chat.id).value;
  const [query, setQuery] = useState("");
  const online = useOnline(chat);
  const everybody = useSorted(chat.participants);
  const shown = query.trim()
    ? everybody.filter((one) => matchesPerson(one, query))
    : everybody;
  return html`
    ${everybody.length >= SEARCH_FROM &&
    html`<${SearchField}
      label=${t("details.searchPeople")}
      value=${query}
      onInput=${setQuery}
    />`}
    <${VirtualList}
      class="members"
      items=${shown}
      keyOf=${(one) => one.user_id}
      rowHeight=${ROW_REM}
      label=${t("details.peopleTitle")}
      renderRow=${(one, attributes) => html`<${MemberRow}
        chat=${chat}
        member=${one}
        wasOnline=${online.has(one.user_id)}
        attributes=${attributes}
      />`}
      footer=${!shown.length && html`<p class="list-note" role="status">${t("people.noneFound", { query: query.trim() })}</p>`}
    />
  `;
}

/** Nobody is told who of a group comes and goes: it is looked at now and then while the list is shown. */
function useOnline(chat) {
  const [online, setOnline] = useState(/** @type {ReadonlySet<number>} */ (new Set()));
  const isConnected = connection.value.state === "online";
  useEffect(() => {
    const look = () => chat.listOnline().then((ids) => setOnline(new Set(ids)), () => setOnline(new Set()));
    look();
    const timer = setInterval(() => document.hidden || look(), LOOK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [chat, isConnected]);
  return online;
}

function MemberRow({ chat, member, wasOnline, attributes }) {
  const isMe = member.user_id === me.value?.id;
  const items = isMe ? [] : actionsFor(chat, member);
  const name = displayName(member);
  const open = (event) => openMenu({ anchor: event.currentTarget, items, label: t("details.actionsFor", { name }) });
  const role = member.role === "member" ? null : html`<span class=${`role role--${member.role}`}>${t(`role.${member.role}`)}</span>`;
  const note = isMe ? t("chat.you") : undefined;
  if (!items.length) {
    return html`<div class="person person--still" tabindex="-1" ...${attributes}>
      <${PersonFace} user=${member} note=${note} wasOnline=${wasOnline && !isMe}>${role}</${PersonFace}>
    </div>`;
  }
  return html`<button type="button" class="person" aria-haspopup="menu" aria-expanded="false" ...${attributes} onClick=${open}>
    <${PersonFace} user=${member} note=${note} wasOnline=${wasOnline}>${role}</${PersonFace}>
  </button>`;
}

/** Sorted again only where that may change the order: every receipt of a large group draws the list. */
function useSorted(participants) {
  const what = participants.map((one) => `${one.user_id} ${one.role} ${displayName(one)}`).join("\n");
  const order = useMemo(() => findOrder(participants), [what, locale.value]);
  return order.map((place) => participants[place]);
}

/** Oneself first, then by role, then by name; as places in the list that is given. */
function findOrder(participants) {
  const collator = new Intl.Collator(locale.value, { sensitivity: "base" });
  const ranks = participants.map((one) => (one.user_id === client.me?.id ? -1 : RANKS[one.role]));
  const names = participants.map(displayName);
  return [...ranks.keys()].sort((a, b) => ranks[a] - ranks[b] || collator.compare(names[a], names[b]));
}

function actionsFor(chat, member) {
  /** @type {Parameters<typeof openMenu>[0]["items"]} */
  const items = [{ label: t("details.message"), icon: "chat", onSelect: () => openDirectChat(member.user_id) }];
  for (const role of rolesToGive(chat.myRole, member.role)) {
    items.push({ label: t(`details.make.${role}`), icon: ROLE_ICONS[role], onSelect: () => giveRole(chat, member, role) });
  }
  if (mayRemove(chat.myRole, member.role)) {
    items.push("separator", {
      label: t("details.remove"),
      icon: "person-remove",
      danger: true,
      onSelect: () => removeMember(chat, member),
    });
  }
  return items;
}

async function giveRole(chat, member, role) {
  const name = displayName(member);
  const isSure =
    role !== "owner" ||
    (await confirmAction({
      title: t("details.handOver.title", { name }),
      text: t("details.handOver.text"),
      action: t("details.handOver.action"),
    }));
  if (isSure) await attempt(() => chat.setRole(member.user_id, role), t("details.roleGiven", { name, role: t(`role.${role}`) }));
}

async function removeMember(chat, member) {
  const name = displayName(member);
  const isSure = await confirmAction({
    title: t("details.removeTitle", { name }),
    text: t("details.removeText"),
    action: t("details.remove"),
    danger: true,
  });
  if (isSure) await attempt(() => chat.removeParticipant(member.user_id), t("details.removed", { name }));
}

async function attempt(work, done) {
  try {
    await work();
    announce(done);
  } catch (error) {
    showToast(errorSentence(error, "group"), { tone: "danger" });
  }
}
