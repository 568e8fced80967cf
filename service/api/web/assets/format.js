/** Times, lengths and numbers for people. */

import { language } from "./texts.js";

const GREGORIAN_TO_UNIX_S = 62_167_219_200;
const UNITS = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

export const dateOf = (gregorianS) => new Date((gregorianS - GREGORIAN_TO_UNIX_S) * 1000);

export function relativeTime(date, now = new Date()) {
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const seconds = (date - now) / 1000;
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return format.format(Math.round(seconds / length), unit);
}

/** The time in the zone of the box, or of the browser if the box has none. */
export function exactTime(date, timeZone) {
  const options = { dateStyle: "full", timeStyle: "short" };
  try {
    return new Intl.DateTimeFormat(language, { ...options, timeZone }).format(date);
  } catch {
    return new Intl.DateTimeFormat(language, options).format(date);
  }
}

/** The time of a row in a table, in the zone of the browser. */
export const shortTime = (date) =>
  new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "medium" }).format(date);

/** Minutes and seconds, such as 1:05. */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export const callerOf = (message) => message.caller_id_name || message.caller_id_number;
