/** Short reports at the bottom of the page. Screen readers announce them. */

import { UNREACHED, ApiError } from "./api.js";
import { button, create } from "./elements.js";
import { text } from "./texts.js";

const SHOWN_MS = 8000;

/** Shows a text or an error. With `action`, a button with the text `label` runs it. */
export function report(cause, action = null, label = text("retry")) {
  // The form to sign in shows it.
  if (cause.status === 401) return;
  const region = document.getElementById("reports");
  const isError = cause instanceof Error;
  const toast = create("div", { class: isError ? "toast failure" : "toast" }, create("span", {}, isError ? textOf(cause) : cause));
  const close = () => toast.remove();
  if (action !== null) toast.append(button(label, () => (close(), action())));
  toast.append(button("×", close, { "aria-label": text("close"), class: "close" }));
  region.append(toast);
  setTimeout(close, SHOWN_MS);
}

/** Returns what happened and what to do next. */
export function textOf(error) {
  if (!(error instanceof ApiError)) return text("failed");
  if (error.status === UNREACHED) return text("unreached");
  if (error.status === 503 || error.status === 429) return text("busy", { seconds: error.retryAfterS || 5 });
  if (error.status === 401) return text("expired_session");
  if (error.status === 403) return text("forbidden");
  if (error.status === 404) return text("not_found");
  return `${text("refused")} ${error.details}`.trim();
}
