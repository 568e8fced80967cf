/** Settings of this browser, and the positions at which recordings were stopped. */

const KEY = "aftertone.preferences";
const POSITIONS_KEY = "aftertone.positions";
const MAX_POSITIONS = 200;
const DEFAULTS = { speed: 1, skipSilence: false, saveWhenPlayed: false };

const read = (key, fallback) => {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
};

const write = (key, value) => {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // Private windows may refuse to store anything; the page works without it.
  }
};

export const preferences = { ...DEFAULTS, ...read(KEY, {}) };

export function setPreference(name, value) {
  preferences[name] = value;
  write(KEY, preferences);
}

/** Returns the seconds at which a recording was stopped. */
export const positionOf = (mediaId) => new Map(read(POSITIONS_KEY, [])).get(mediaId) ?? 0;

/** Keeps the positions of the last 200 recordings. 0 removes the position. */
export function keepPosition(mediaId, seconds) {
  const positions = new Map(read(POSITIONS_KEY, []));
  positions.delete(mediaId);
  if (seconds > 0) positions.set(mediaId, Math.round(seconds * 10) / 10);
  write(POSITIONS_KEY, [...positions].slice(-MAX_POSITIONS));
}
