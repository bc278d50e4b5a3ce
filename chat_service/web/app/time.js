/**
 * Times and days as the reader writes them, in the reader's zone. A clock that is wrong makes "today" wrong and
 * nothing else: every label is computed from the time that the server gave.
 */

import { computed, signal } from "@preact/signals";
import { locale, t } from "./i18n.js";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** The present minute; what shows "today" or "5 minutes ago" reads it. */
const now = signal(Date.now());
setInterval(() => {
  now.value = Date.now();
}, MINUTE_MS);
document.addEventListener("visibilitychange", () => {
  now.value = Date.now();
});

const today = computed(() => startOfDay(new Date(now.value)).getTime());

const formats = computed(() => {
  const language = locale.value;
  // A reader whose browser speaks another dialect of the language keeps its habits (12 or 24 hours).
  const habits = (navigator.languages ?? []).find((one) => one.toLowerCase().split("-")[0] === language) ?? language;
  const format = (options) => new Intl.DateTimeFormat(habits, options);
  return {
    time: format({ hour: "2-digit", minute: "2-digit" }),
    weekday: format({ weekday: "short" }),
    longWeekday: format({ weekday: "long", day: "numeric", month: "long" }),
    date: format({ day: "2-digit", month: "2-digit", year: "2-digit" }),
    shortDate: format({ day: "numeric", month: "short" }),
    longDate: format({ weekday: "long", day: "numeric", month: "long", year: "numeric" }),
    full: format({ dateStyle: "full", timeStyle: "medium" }),
    moment: format({ dateStyle: "medium", timeStyle: "short" }),
    relative: new Intl.RelativeTimeFormat(habits, { numeric: "auto" }),
  };
});

/** "14:05" */
export function formatTime(timestamp) {
  return formats.value.time.format(new Date(timestamp));
}

/** For the chat list: the time today, the weekday within a week, else the date. */
export function formatListTime(timestamp) {
  const date = new Date(timestamp);
  const days = daysBefore(date);
  if (days <= 0) return formats.value.time.format(date);
  if (days === 1) return t("time.yesterday");
  if (days < 7) return formats.value.weekday.format(date);
  return date.getFullYear() === new Date(today.value).getFullYear()
    ? formats.value.shortDate.format(date)
    : formats.value.date.format(date);
}

/** For day lines: "Today", "Yesterday", "Monday 16 November", with the year where it is another one. */
export function formatDay(timestamp) {
  const date = new Date(timestamp);
  const days = daysBefore(date);
  if (days === 0) return t("time.today");
  if (days === 1) return t("time.yesterday");
  return date.getFullYear() === new Date(today.value).getFullYear()
    ? formats.value.longWeekday.format(date)
    : formats.value.longDate.format(date);
}

/** Everything there is to say about a moment, for tooltips and `title`. */
export function formatFull(timestamp) {
  return formats.value.full.format(new Date(timestamp));
}

/** "20 Nov 2026, 14:05" */
export function formatMoment(timestamp) {
  return formats.value.moment.format(new Date(timestamp));
}

/** "5 minutes ago", "yesterday", and a date for what lies further back. */
export function formatAgo(timestamp) {
  const passed = Math.max(0, now.value - new Date(timestamp).getTime());
  if (passed < MINUTE_MS) return t("time.justNow");
  if (passed < 60 * MINUTE_MS) return formats.value.relative.format(-Math.round(passed / MINUTE_MS), "minute");
  if (passed < DAY_MS) return formats.value.relative.format(-Math.round(passed / (60 * MINUTE_MS)), "hour");
  if (passed < 7 * DAY_MS) return formats.value.relative.format(-Math.round(passed / DAY_MS), "day");
  return formatMoment(timestamp);
}

/** The local calendar day as a number that only equals itself; for finding where a new day begins. */
export function dayNumber(timestamp) {
  return startOfDay(new Date(timestamp)).getTime();
}

/** How many calendar days before today; negative for a time in the future. */
function daysBefore(date) {
  return Math.round((today.value - startOfDay(date).getTime()) / DAY_MS);
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}
