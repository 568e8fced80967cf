/** The dialog that forwards a message to other mailboxes, with a comment before it. */

import { button, checkboxes, closeDialog, create, openDialog } from "../elements.js";
import { text } from "../texts.js";
import { report, textOf } from "../toast.js";
import { recorder } from "./recorder.js";

/** `path` is the path of the message, `boxes` are its possible targets. Comments need a setting of its box. */
export async function openForwardDialog(api, path, boxes, allowsComment) {
  const targets = checkboxes(text("forward_to"), boxes.map((box) => [box.id, `${box.name} (${box.mailbox ?? "–"})`]));
  const comment = recorder(text("comment"), text("comment_hint"));
  const problem = create("p", { class: "failure", role: "alert" });
  const submit = create("button", { type: "submit", class: "primary" }, text("forward"));
  // A repeated request after a lost response sends the message once.
  const key = crypto.randomUUID();
  const form = create("form", { onsubmit: (event) => (event.preventDefault(), send()) },
    targets.element, allowsComment ? comment.element : create("p", {}, create("small", {}, text("comment_disabled"))), problem,
    create("div", { class: "actions" }, button(text("cancel"), () => closeDialog(form)), submit));

  const send = async () => {
    if (targets.values().length === 0) return (problem.textContent = text("choose_mailbox"));
    submit.disabled = true;
    try {
      const data = { source_id: targets.values() };
      const content = comment.recording === null ? { data } : { body: parts(data, comment.recording) };
      const answer = await api.request("POST", `${path}/forward`, { ...content, headers: { "Idempotency-Key": key } });
      const { succeeded, failed } = answer.data;
      closeDialog(form);
      report(text("forwarded", { count: succeeded.length }));
      if (failed.length > 0) report(text("some_not_forwarded", { count: failed.length }));
    } catch (error) {
      problem.textContent = textOf(error);
    } finally {
      submit.disabled = false;
    }
  };
  await openDialog(text("forward"), form);
  comment.stop();
}

/** A multipart body of JSON and audio. */
function parts(data, recording) {
  const form = new FormData();
  form.append("content", new Blob([JSON.stringify({ data })], { type: "application/json" }), "message.json");
  form.append("content", recording, "comment");
  return form;
}
