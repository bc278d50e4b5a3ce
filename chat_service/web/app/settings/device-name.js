/** "Firefox on Android" from what a browser said of itself. A guess for recognising one's own devices, no more. */

import { t } from "../i18n.js";

// The first that matches counts: many browsers also claim to be those they descend from.
const PROGRAMS = [
  [/Edg(?:e|A|iOS)?\//, "Edge"],
  [/OPR\/|Opera/, "Opera"],
  [/SamsungBrowser\//, "Samsung Internet"],
  [/Firefox\/|FxiOS\//, "Firefox"],
  [/Chrome\/|CriOS\/|Chromium\//, "Chrome"],
  [/Safari\//, "Safari"],
];
const SYSTEMS = [
  [/Android/, "Android"],
  [/iPhone|iPod/, "iPhone"],
  [/iPad/, "iPad"],
  [/Windows/, "Windows"],
  [/CrOS/, "ChromeOS"],
  [/Mac OS X|Macintosh/, "macOS"],
  [/Linux|X11/, "Linux"],
];

/** @param {string | null} userAgent */
export function deviceName(userAgent) {
  const program = nameIn(PROGRAMS, userAgent ?? "");
  const system = nameIn(SYSTEMS, userAgent ?? "");
  if (program && system) return t("devices.programOnSystem", { program, system });
  // A program of another kind names itself in the first word: "chat-tool/1.2".
  return program ?? system ?? (/^[\w.-]{1,40}/.exec(userAgent ?? "")?.[0] || t("devices.unknown"));
}

/** Whether it is one that is carried in a pocket. */
export function isPhone(userAgent) {
  return /Android|iPhone|iPod|Mobile/.test(userAgent ?? "");
}

function nameIn(table, userAgent) {
  return table.find(([pattern]) => pattern.test(userAgent))?.[1];
}
