/** Forms of the page for administrators. Each returns a promise of the created document, or undefined. */

import { button, checkboxes, closeDialog, create, field, openDialog } from "../elements.js";
import { text } from "../texts.js";
import { textOf } from "../toast.js";

const SCOPES = ["messages:read", "messages:write", "vmboxes:read", "vmboxes:write", "events:read", "account:admin"];
const TYPES = { password: "password", email: "email" };

/** A form with one input for each name. */
export function openDocumentForm(api, path, names) {
  const inputs = names.map((name) => create("input", { name, type: TYPES[name] ?? "text", autocomplete: "off" }));
  const fields = names.map((name, i) => field(text(`column_${name}`), inputs[i]));
  return openForm(api, path, fields, () => valuesOf(inputs));
}

export async function openKeyForm(api) {
  const name = create("input", { required: true });
  const scopes = checkboxes(text("column_scopes"), SCOPES.map((scope) => [scope, scope]), (scope) => scope.endsWith(":read"));
  const created = await openForm(api, "api_keys", [field(text("column_name"), name), scopes.element], () => ({ name: name.value, scopes: scopes.values() }));
  if (created?.api_key) {
    const key = create("input", { readonly: true, value: created.api_key, onfocus: () => key.select() });
    const form = create("form", { method: "dialog" }, field(text("new_key"), key, text("new_key_hint")), create("button", {}, text("close")));
    await openDialog(text("tab_api_keys"), form);
  }
  return created;
}

/** A legal hold on messages of `boxes`. Without a selected box it covers the whole account. */
export function openHoldForm(api, boxes) {
  const name = create("input", { name: "name", required: true, maxlength: 128 });
  const reason = create("textarea", { name: "reason", required: true, maxlength: 2000, rows: 2 });
  const number = create("input", { name: "caller_id_number", maxlength: 128, autocomplete: "off" });
  const times = ["created_from", "created_to"].map((key) => create("input", { name: key, type: "datetime-local" }));
  const chosen = checkboxes(text("hold_boxes"), boxes.map((box) => [box.id, box.name]));
  const fields = [field(text("column_name"), name), field(text("column_reason"), reason), field(text("column_caller_id_number"), number, text("hold_number_hint")),
    ...times.map((input) => field(text(`column_${input.name}`), input)), chosen.element];
  return openForm(api, "holds", fields, () => {
    const data = valuesOf([name, reason, number]);
    for (const input of times) if (input.value) data[input.name] = new Date(input.value).toISOString();
    return chosen.values().length > 0 ? { ...data, vmbox_ids: chosen.values() } : data;
  });
}

/** Shows a form; its data is sent with PUT. */
async function openForm(api, path, fields, read) {
  const problem = create("p", { class: "failure", role: "alert" });
  let created;
  const form = create("form", { onsubmit: (event) => (event.preventDefault(), send()) }, fields, problem,
    create("div", { class: "actions" }, button(text("cancel"), () => closeDialog(form)), create("button", { type: "submit", class: "primary" }, text("add"))));
  const send = async () => {
    try {
      created = (await api.request("PUT", `${api.account}/${path}`, { data: read() })).data;
      closeDialog(form);
    } catch (error) {
      problem.textContent = textOf(error);
    }
  };
  await openDialog(text("add"), form);
  return created;
}

const valuesOf = (inputs) => Object.fromEntries(inputs.filter((input) => input.value).map((input) => [input.name, input.value]));
