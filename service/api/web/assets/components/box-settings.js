/** The dialog with the settings of a box: name, PIN, time zone, notifications and greeting. */

import { button, closeDialog, create, field, openDialog } from "../elements.js";
import { text } from "../texts.js";
import { report, textOf } from "../toast.js";
import { recorder } from "./recorder.js";

/** Opens the dialog. Returns true if the settings were changed. */
export async function openBoxSettings(api, box) {
  const path = `${api.account}/vmboxes/${box.id}`;
  const { data } = await api.request("GET", path);
  const name = create("input", { required: true, maxlength: 128, value: data.name });
  const pin = create("input", { inputmode: "numeric", pattern: "[0-9]{4,}", maxlength: 15, autocomplete: "off", value: data.pin ?? "" });
  const zones = create("datalist", { id: "zones" }, Intl.supportedValuesOf("timeZone").map((value) => create("option", { value })));
  const timezone = create("input", { list: "zones", value: data.timezone ?? "", autocomplete: "off" });
  const emails = create("textarea", { rows: 2, spellcheck: "false" }, (data.notify_email_addresses ?? []).join("\n"));
  const attach = create("input", { type: "checkbox", checked: data.include_message_on_notify });
  const transcribe = create("input", { type: "checkbox", checked: data.transcribe });
  const comments = create("input", { type: "checkbox", checked: data.vm_message_forward_type === "prepend_forward" });
  const greeting = recorder(text("greeting"), text(data.media?.unavailable ? "greeting_kept" : "greeting_none"));
  const problem = create("p", { class: "failure", role: "alert" });
  const save = create("button", { type: "submit", class: "primary" }, text("save_settings"));
  const form = create("form", { method: "dialog", onsubmit: (event) => (event.preventDefault(), send()) },
    field(text("name"), name), field(text("pin"), pin, text("pin_hint")), field(text("timezone"), timezone), zones,
    field(text("emails"), emails, text("emails_hint")),
    create("label", { class: "check" }, attach, text("attach_audio")), create("label", { class: "check" }, transcribe, text("transcribe")),
    create("label", { class: "check" }, comments, text("allow_comments")),
    greeting.element, problem,
    create("div", { class: "actions" }, button(text("cancel"), () => closeDialog(form)), save));

  const send = async () => {
    save.disabled = true;
    try {
      const changes = {
        name: name.value,
        pin: pin.value || null,
        timezone: timezone.value || null,
        notify_email_addresses: emails.value.split(/[\s,;]+/).filter(Boolean),
        include_message_on_notify: attach.checked,
        transcribe: transcribe.checked,
        vm_message_forward_type: comments.checked ? "prepend_forward" : "only_forward",
      };
      if (greeting.recording !== null) changes.media = { unavailable: await storeGreeting(api, data.name, greeting.recording) };
      await api.request("PATCH", path, { data: changes });
      closeDialog(form, "saved");
    } catch (error) {
      problem.textContent = textOf(error);
    } finally {
      save.disabled = false;
    }
  };
  const result = await openDialog(text("settings_of", { name: data.name }), form);
  greeting.stop();
  if (result === "saved") report(text("settings_saved"));
  return result === "saved";
}

async function storeGreeting(api, name, recording) {
  const { data } = await api.request("PUT", `${api.account}/media`, { data: { name: text("greeting_of", { name }), streamable: true } });
  await api.fetch("PUT", `${api.account}/media/${data.id}/raw`, { body: recording, headers: { "Content-Type": recording.type || "application/octet-stream" } });
  return data.id;
}
