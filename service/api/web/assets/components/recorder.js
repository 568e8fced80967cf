/** A field that records with the microphone, or takes a file. */

import { button, create } from "../elements.js";
import { text } from "../texts.js";
import { report } from "../toast.js";

const MAX_RECORDING_MS = 5 * 60_000;

/** Returns the element, the `recording` (a Blob or null), and `stop`, which releases the microphone. */
export function recorder(label, hint) {
  const player = create("audio", { controls: true, hidden: true });
  const file = create("input", { type: "file", accept: "audio/*", "aria-label": text("upload_file"), onchange: () => file.files[0] && keep(file.files[0]) });
  const record = button(text("record"), () => (active === null ? start() : finish()), { hidden: !globalThis.MediaRecorder });
  const result = {
    element: create("fieldset", { class: "recorder" }, create("legend", {}, label), create("small", {}, hint),
      create("div", { class: "actions" }, record, file), player),
    recording: null,
    stop: () => finish(),
  };
  let active = null;
  let timer;

  async function start() {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const parts = [];
      active = new MediaRecorder(stream);
      active.addEventListener("dataavailable", (event) => parts.push(event.data));
      active.addEventListener("stop", () => {
        stream.getTracks().forEach((track) => track.stop());
        keep(new Blob(parts, { type: active.mimeType.split(";")[0] }));
        active = null;
      });
      active.start();
      timer = setTimeout(finish, MAX_RECORDING_MS);
      record.textContent = text("stop_recording");
      record.classList.add("recording");
    } catch {
      report(text("no_microphone"));
    }
  }

  function finish() {
    clearTimeout(timer);
    record.textContent = text("record");
    record.classList.remove("recording");
    if (active?.state === "recording") active.stop();
  }

  function keep(blob) {
    result.recording = blob;
    URL.revokeObjectURL(player.src);
    player.src = URL.createObjectURL(blob);
    player.hidden = false;
  }

  return result;
}
