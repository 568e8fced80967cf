/** Texts of the page in the language of the browser. */

const LANGUAGES = ["en", "de", "es", "fr"];

export const language =
  navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => LANGUAGES.includes(tag)) ?? "en";

const { texts } = await import(`./texts/${language}.js`);

/** Returns a text with its `{placeholders}` replaced. */
export function text(key, values = {}) {
  return texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
