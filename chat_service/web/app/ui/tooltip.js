/**
 * The tooltips of everything with `data-tooltip`: one element for the whole page, shown after a moment of
 * hovering, or at once when the keyboard moves the focus there. It repeats a name, so screen readers skip it.
 */

const DELAY_MS = 500;
const MARGIN_PX = 6;

/** Called once, when the application starts. */
export function installTooltips() {
  const tooltip = document.createElement("div");
  tooltip.className = "tooltip";
  tooltip.popover = "manual";
  tooltip.setAttribute("aria-hidden", "true");
  let timer = 0;

  const hide = () => {
    clearTimeout(timer);
    if (tooltip.isConnected) tooltip.remove();
  };
  const show = (target) => {
    if (!target.isConnected || !target.dataset.tooltip) return;
    tooltip.textContent = target.dataset.tooltip;
    (target.closest("dialog") ?? document.body).append(tooltip);
    tooltip.showPopover?.();
    const anchor = target.getBoundingClientRect();
    const box = tooltip.getBoundingClientRect();
    const below = anchor.bottom + MARGIN_PX;
    const top = below + box.height < innerHeight ? below : anchor.top - box.height - MARGIN_PX;
    const left = anchor.left + (anchor.width - box.width) / 2;
    tooltip.style.top = `${top}px`;
    tooltip.style.left = `${Math.max(MARGIN_PX, Math.min(left, innerWidth - box.width - MARGIN_PX))}px`;
  };

  document.addEventListener("pointerover", (event) => {
    hide();
    const target = event.target instanceof Element && event.target.closest("[data-tooltip]");
    if (target && event.pointerType === "mouse") timer = setTimeout(show, DELAY_MS, target);
  });
  document.addEventListener("focusin", (event) => {
    hide();
    const target = event.target;
    if (target instanceof Element && target.matches("[data-tooltip]:focus-visible")) show(target);
  });
  for (const type of ["pointerdown", "keydown", "focusout", "scroll"]) document.addEventListener(type, hide, true);
}
