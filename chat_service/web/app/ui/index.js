/**
 * The primitives of the interface, for every part of the client. Import from here, not from the files.
 *
 *   html`…`                                            templates (htm bound to preact)
 *   Button({variant, size, icon, busy, …})             variant: primary, quiet (default), plain, danger, danger-plain
 *   IconButton({icon, label, pressed, …})              an icon alone, with its name as label and tooltip
 *   Icon({name, size})                                 names: the keys of icon-shapes.js
 *   Avatar({name, image, size, square, online, label})  UserAvatar({user, …})  ChatAvatar({chat, …})
 *   UserText({text, as, class})                        text that somebody wrote: its own direction, one line
 *   TextField({label, value, onInput, error, hint, …}) Switch({label, checked, onChange})
 *   SearchField({label, value, onInput, …})            a TextField that looks for something
 *   ChoiceList({label, value, options, onChange})      one of a few, as radio buttons
 *   Dialog({title, onClose, footer, size, …})          a modal <dialog>; mounted is open, focus returns
 *   openDialog(close => vnode, onClosed)               shows a Dialog from anywhere; closeAllDialogs()
 *   confirmAction({title, text, action, danger})       => Promise<boolean>
 *   openMenu({anchor, items, label, onClose})          anchor: Element or {x, y}; items: [{label, icon, onSelect,
 *                                                      danger, checked, disabled} | "separator"]
 *   showToast(text, {tone, action})                    tone: "plain" | "danger"; action: {label, onSelect}
 *   announce(text)                                     says something to screen readers only
 *   VirtualList({items, keyOf, rowHeight, renderRow, …})  a long list of rows of one height
 *   useRovingFocus(ref, {selector, orientation})       arrow keys move through a list with one tab stop
 *   isComposing(event)                                 the key is part of a word that an input method composes
 *   useUniqueId()                                      an id for label and field (preact's useId repeats in dialogs)
 *   Skeleton({shape, width})  Spinner()  EmptyState({icon, title, text, children})  Badge({count, label})
 *
 * Tooltips need no component: put `data-tooltip="…"` on anything that can be hovered or focused.
 * Colours, distances and sizes are the custom properties of style/tokens.css.
 */

export { html } from "htm/preact";
export { Avatar, ChatAvatar, UserAvatar } from "./avatar.js";
export { Badge } from "./badge.js";
export { Button, IconButton } from "./button.js";
export { closeAllDialogs, confirmAction, Dialog, openDialog } from "./dialog.js";
export { EmptyState } from "./empty-state.js";
export { ChoiceList, SearchField, Switch, TextField } from "./field.js";
export { Icon } from "./icon.js";
export { isComposing } from "./is-composing.js";
export { closeMenu, openMenu } from "./menu.js";
export { useRovingFocus } from "./roving-focus.js";
export { Skeleton, Spinner } from "./skeleton.js";
export { announce, showToast } from "./toast.js";
export { useUniqueId } from "./unique-id.js";
export { UserText } from "./user-text.js";
export { VirtualList } from "./virtual-list.js";
