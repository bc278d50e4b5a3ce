/**
 * Mouse, touch and keyboard in the history: arrows move from message to message, Enter, a right click or a long
 * press opens the actions, and what is typed goes to the field below.
 */

const LONG_PRESS_MS = 480;
const STILL_PX = 10;

export class HistoryInput {
  #open;
  #scroller;
  #press = null;

  /**
   * @param {import("../open-chat.js").OpenChat} open
   * @param {{current: HTMLElement | null}} scroller
   */
  constructor(open, scroller) {
    this.#open = open;
    this.#scroller = scroller;
    this.listeners = {
      onKeyDown: this.#onKeyDown,
      onFocusIn: this.#onFocusIn,
      onPointerOver: this.#onPointerOver,
      onPointerLeave: this.#onPointerLeave,
      onContextMenu: this.#onContextMenu,
      onPointerDown: this.#onPointerDown,
      onPointerMove: this.#onPointerMove,
      onPointerUp: this.#endPress,
      onPointerCancel: this.#endPress,
      onClickCapture: this.#onClick,
    };
  }

  /**
   * After each drawing: the focus goes to the row that waits for it, and stays in the history when the row that
   * had it is not drawn any more.
   *
   * @param {boolean} hadFocus whether it was in the history before
   */
  keepFocus(hadFocus) {
    const open = this.#open;
    const scroller = this.#scroller.current;
    // Whoever has begun to write, to search or to answer a dialog meanwhile is not called away.
    if (document.activeElement?.closest("input, textarea, select, dialog[open]")) open.focusWanted = null;
    const wanted = open.focusWanted === null ? null : open.view.elementOf(open.focusWanted);
    if (wanted?.matches("article")) {
      open.focusWanted = null;
      wanted.focus({ preventScroll: true });
    } else if (hadFocus && document.activeElement === document.body) {
      scroller.focus({ preventScroll: true });
    }
  }

  #onKeyDown = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const { current, view } = this.#open;
    const index = current.peek() !== null && view.isDrawn(current.peek()) ? current.peek() : view.lastInView;
    const isOnRow = event.target === this.#scroller.current || event.target.matches("[data-index]");
    switch (event.key) {
      case "ArrowUp":
        this.#moveTo(event, view.nextTo(index, -1));
        break;
      case "ArrowDown":
        if (view.nextTo(index, 1) === index) this.#focusComposer(event);
        else this.#moveTo(event, view.nextTo(index, 1));
        break;
      case "Home":
        this.#moveTo(event, 1);
        break;
      case "End":
        this.#moveTo(event, view.count);
        break;
      case "Enter":
      case " ":
        if (isOnRow) this.#openMenu(event, index);
        break;
      default:
        if (isOnRow && isTyped(event)) this.#focusComposer();
    }
  };

  #moveTo(event, index) {
    event.preventDefault();
    this.#open.goTo(index, { align: "nearest" });
  }

  #focusComposer(event) {
    event?.preventDefault();
    const composer = this.#scroller.current.closest(".chat").querySelector("[data-composer]");
    /** @type {HTMLElement} */ (composer).focus();
  }

  #openMenu(event, index) {
    event.preventDefault();
    const row = this.#open.view.elementOf(index);
    if (row) this.#open.openMenu(index, row.querySelector(".bubble") ?? row);
  }

  #onFocusIn = (event) => {
    const index = indexOf(event.target);
    if (index === null) return;
    this.#open.current.value = index;
    if (event.target.matches(":focus-visible")) this.#open.active.value = index;
  };

  #onPointerOver = (event) => {
    if (event.pointerType === "mouse") this.#open.active.value = indexOf(event.target);
  };

  #onPointerLeave = () => {
    this.#open.active.value = null;
  };

  #onContextMenu = (event) => {
    const index = indexOf(event.target);
    if (index === null) return;
    const isOurs = this.#press?.isOver === true;
    // The browser's own menu is better for links and for text that has been selected.
    if (!isOurs && (event.target.closest("a") || !getSelection().isCollapsed)) return;
    event.preventDefault();
    this.#endPress();
    if (!isOurs) this.#open.openMenu(index, placeOf(event));
  };

  /** Not every browser tells of a long press. */
  #onPointerDown = (event) => {
    if (event.pointerType === "mouse") return;
    const index = indexOf(event.target);
    if (index === null) return;
    this.#endPress();
    const press = { x: event.clientX, y: event.clientY, isOver: false, timer: 0 };
    press.timer = setTimeout(() => {
      press.isOver = true;
      this.#open.openMenu(index, { x: press.x, y: press.y });
    }, LONG_PRESS_MS);
    this.#press = press;
  };

  #onPointerMove = (event) => {
    const press = this.#press;
    if (press && Math.hypot(event.clientX - press.x, event.clientY - press.y) > STILL_PX) this.#endPress();
  };

  #endPress = () => {
    clearTimeout(this.#press?.timer);
    if (this.#press?.isOver !== true) this.#press = null;
  };

  /** The finger that leaves after a long press does not press what is below it. */
  #onClick = (event) => {
    if (this.#press?.isOver !== true) return;
    this.#press = null;
    event.preventDefault();
    event.stopPropagation();
  };
}

function indexOf(target) {
  const row = target.closest?.("article[data-index]");
  return row ? Number(row.dataset.index) : null;
}

/** From the keyboard there is no place but that of the row. */
function placeOf(event) {
  if (event.clientX !== 0 || event.clientY !== 0) return { x: event.clientX, y: event.clientY };
  return event.target.querySelector(".bubble") ?? event.target;
}

function isTyped(event) {
  return event.key.length === 1 && event.key !== "?" && event.key !== "/";
}
