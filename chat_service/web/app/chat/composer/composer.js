/**
 * Where one writes: a field that grows, what it answers or changes above it, the countdown near the limit. The
 * field belongs to the browser (nothing rewrites it while one types), so every input method works undisturbed.
 */

import { useSignal } from "@preact/signals";
import { html } from "htm/preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { errorSentence } from "../../errors.js";
import { t } from "../../i18n.js";
import { chatTitle } from "../../names.js";
import { chatRevision, client } from "../../state.js";
import { IconButton, isComposing } from "../../ui/index.js";
import { cleanMessage, countCharacters } from "../text-length.js";
import { ModeBar } from "./mode-bar.js";

const USUAL_LIMIT = 10_000;
const COUNTDOWN_FROM = 300;

/** A screen that is touched has a key for a new line, and a button for sending. */
const isTouch = matchMedia("(hover: none) and (pointer: coarse)");

/** @param {{open: import("../open-chat.js").OpenChat}} props */
export function Composer({ open }) {
  const { chat, composing } = open;
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const left = useSignal(Infinity);
  const isEmpty = useSignal(true);
  const isSaving = useSignal(false);
  const problem = useSignal("");
  const mode = composing.mode.value;

  const look = () => {
    const text = field.current.value;
    isEmpty.value = cleanMessage(text) === "";
    left.value = limitOf() - (text.length < limitOf() - COUNTDOWN_FROM ? 0 : countCharacters(text));
    grow(field.current);
  };

  useLayoutEffect(() => {
    field.current.value = composing.text;
    problem.value = "";
    look();
    if (mode.kind !== "new" || !isTouch.matches) field.current.focus({ preventScroll: true });
    field.current.setSelectionRange(field.current.value.length, field.current.value.length);
  }, [mode]);

  // What is typed in another tab is taken over, unless one types here.
  chatRevision(chat.id).value;
  useLayoutEffect(() => {
    const isTyping = document.hasFocus() && document.activeElement === field.current;
    if (mode.kind === "edit" || isTyping || field.current.value === chat.draft) return;
    field.current.value = chat.draft;
    look();
  }, [chat.draft]);

  const onInput = () => {
    composing.setText(field.current.value);
    problem.value = "";
    look();
    if (mode.kind !== "edit") chat.setTyping(!isEmpty.value);
  };

  const submit = async () => {
    const content = cleanMessage(field.current.value);
    if (isSaving.value || content === "" || countCharacters(content) > limitOf()) return;
    if (mode.kind === "edit") await saveEdit(content);
    else send(content);
  };

  const send = (content) => {
    // First into the queue, then out of the draft: a page that ends in between has it twice, and not never.
    open.send(content, mode.kind === "reply" ? mode.message : null);
    field.current.value = "";
    composing.setText("");
    if (mode.kind === "reply") composing.leave();
    look();
  };

  const saveEdit = async (content) => {
    if (content === chat.original(mode.message.seq)?.content) return composing.leave();
    isSaving.value = true;
    try {
      await chat.edit(mode.message, content);
      // Whoever has turned to something else meanwhile stays there.
      if (composing.mode.peek() === mode) composing.leave();
    } catch (error) {
      problem.value = errorSentence(error, "edit");
    } finally {
      isSaving.value = false;
    }
  };

  const onKeyDown = (event) => {
    if (isComposing(event)) return;
    const plain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key === "Enter" && (plain ? !isTouch.matches : event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      submit();
    } else if (event.key === "Escape" && mode.kind !== "new") {
      event.preventDefault();
      composing.leave();
    } else if (event.key === "ArrowUp" && plain && mode.kind === "new" && field.current.value === "") {
      const last = composing.findLastOwn();
      if (last === null) return;
      event.preventDefault();
      composing.edit(last);
    }
  };

  const isTooLong = left.value < 0;
  return html`<footer class="composer">
    ${mode.kind !== "new" && html`<${ModeBar} mode=${mode} open=${open} />`}
    <div class="composer__row">
      <div class=${`composer__box ${isTooLong ? "composer__box--wrong" : ""}`}>
        <textarea
          ref=${field}
          class="composer__field"
          rows="1"
          dir="auto"
          data-composer
          autocapitalize="sentences"
          enterkeyhint=${isTouch.matches ? "enter" : "send"}
          placeholder=${t("chat.composer.placeholder")}
          aria-label=${t("chat.composer.label", { title: chatTitle(chat) })}
          aria-describedby="composer-note"
          aria-invalid=${isTooLong ? "true" : undefined}
          onInput=${onInput}
          onKeyDown=${onKeyDown}
          onBlur=${() => chat.setTyping(false)}
        ></textarea>
        <p class="composer__note" id="composer-note" data-wrong=${isTooLong || problem.value !== "" ? "" : undefined}>
          ${noteOf(left.value, problem.value)}
        </p>
        <span class="for-screen-reader" role="status">${spokenOf(left.value, problem.value)}</span>
      </div>
      <${IconButton}
        class="composer__send"
        icon=${mode.kind === "edit" ? "check" : "send"}
        label=${t(mode.kind === "edit" ? "chat.composer.save" : "chat.composer.send")}
        aria-disabled=${isEmpty.value || isTooLong || isSaving.value ? "true" : undefined}
        onPointerDown=${keepFocus}
        onClick=${submit}
      />
    </div>
  </footer>`;
}

function noteOf(left, problem) {
  if (problem !== "") return problem;
  if (left < 0) return t("chat.composer.tooLong", { count: -left });
  return left <= COUNTDOWN_FROM ? t("chat.composer.left", { count: left }) : "";
}

/** The countdown in large steps: a number at every key would drown everything else. */
function spokenOf(left, problem) {
  const step = left <= 10 ? 1 : 50;
  return noteOf(Math.floor(left / step) * step, problem);
}

function limitOf() {
  return client.info?.limits.message_chars ?? USUAL_LIMIT;
}

/**
 * As tall as its text; the style sheet sets the bounds. Its box keeps its height while the text is measured:
 * the history above would grow for that moment, and lose its place.
 */
function grow(field) {
  const box = field.parentElement;
  box.style.minBlockSize = `${box.offsetHeight}px`;
  field.style.blockSize = "auto";
  field.style.blockSize = `${field.scrollHeight}px`;
  box.style.minBlockSize = "";
}

/** The button must not take the focus from the field, which would close a keyboard on the screen. */
function keepFocus(event) {
  event.preventDefault();
}
