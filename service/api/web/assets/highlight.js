/** Texts with the parts that match a search, and transcriptions whose words play the audio. */

import { create } from "./elements.js";

const EXCERPT_BEFORE = 30;

/** Returns the nodes of a field of a message; the places of its `match` are marked. */
export function marked(field, value, match = []) {
  return split(value, placesOf(field, match), (part) => create("mark", {}, part));
}

/** As `marked`, for a line that begins shortly before the first place. */
export function excerpt(value, match = []) {
  const places = placesOf("transcription", match);
  const start = Math.max(0, (places[0]?.start ?? 0) - EXCERPT_BEFORE);
  if (start === 0) return marked("transcription", value, match);
  const shifted = match.map((place) => ({ ...place, start: place.start - start, end: place.end - start }));
  return ["… ", ...marked("transcription", Array.from(value).slice(start).join(""), shifted)];
}

/**
 * Returns a transcription. Each of `words` calls `seek` with its seconds when it is clicked; the
 * places of `match` are buttons, so that they work by keyboard.
 */
export function transcription(value, match, words, seek) {
  const times = startsOf(value, words);
  const mark = (part, { start_ms: time }) =>
    create("mark", {}, time === undefined ? part : create("button", { type: "button", class: "word", onclick: () => seek(time / 1000) }, part));
  const element = create("blockquote", { class: "transcription" }, split(value, placesOf("transcription", match), mark));
  element.addEventListener("click", (event) => {
    if (event.target.closest("button") !== null || times.length === 0) return;
    const offset = offsetOf(element, event);
    const time = times.findLast((each) => each.offset <= offset);
    if (time !== undefined) seek(time.seconds);
  });
  return element;
}

const placesOf = (field, match) => (match ?? []).filter((place) => place.field === field).sort((a, b) => a.start - b.start);

/** Splits a text at places, whose offsets count Unicode characters. */
function split(value, places, mark) {
  const characters = Array.from(value ?? "");
  const nodes = [];
  let end = 0;
  for (const place of places) {
    if (place.start < end || place.end > characters.length) continue;
    nodes.push(characters.slice(end, place.start).join(""), mark(characters.slice(place.start, place.end).join(""), place));
    end = place.end;
  }
  return [...nodes, characters.slice(end).join("")].filter((node) => node !== "");
}

/** The offsets of the words in the text, in characters, and their times in seconds. */
function startsOf(value, words) {
  const starts = [];
  let position = 0;
  let offset = 0;
  for (const { word, start } of words) {
    const found = value.indexOf(word.trim(), position);
    if (found < 0 || word.trim() === "") continue;
    offset += Array.from(value.slice(position, found)).length;
    position = found;
    starts.push({ offset, seconds: start / 1000 });
  }
  return starts;
}

/** The offset of the clicked character in the text of an element. */
function offsetOf(element, { clientX, clientY }) {
  const caret = document.caretPositionFromPoint?.(clientX, clientY);
  if (!caret) return -1;
  const range = document.createRange();
  range.setStart(element, 0);
  range.setEnd(caret.offsetNode, caret.offset);
  return Array.from(range.toString()).length;
}
