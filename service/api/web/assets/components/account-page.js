/** The page for administrators: users, boxes, API keys, webhooks with their attempts, audit. */

import { button, closeDialog, create, field, openDialog } from "../elements.js";
import { shortTime } from "../format.js";
import { text } from "../texts.js";
import { report, textOf } from "../toast.js";

const ROWS = 100;
const SCOPES = ["messages:read", "messages:write", "vmboxes:read", "vmboxes:write", "events:read", "account:admin"];

export class AccountPage extends HTMLElement {
  show(api) {
    this._api = api;
    this._tables = {
      users: {
        path: "users", columns: ["username", "first_name", "last_name", "email"],
        add: () => this._create("users", ["username", "password", "first_name", "last_name", "email"], { password: "password", email: "email" }),
      },
      boxes: {
        path: "vmboxes", columns: ["mailbox", "name", "messages"],
        add: () => this._create("vmboxes", ["name", "mailbox"]),
      },
      api_keys: {
        path: "api_keys", columns: ["name", "scopes", "expires"], actions: { revoke: (row) => this._remove("api_keys", row) },
        add: () => this._createKey(),
      },
      webhooks: {
        path: "webhooks", columns: ["name", "uri", "enabled"],
        actions: { ping: (row) => this._ping(row), attempts: (row) => this._showAttempts(row) },
      },
      deliveries: { path: "webhooks/attempts", columns: ["time", "result", "status", "error"] },
      audit: { path: "audit", columns: ["time", "action", "result", "principal", "target", "peer"] },
    };
    const tabs = Object.keys(this._tables).map((name) => create("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "account-panel", onclick: () => this._select(name),
    }, text(`tab_${name}`)));
    this._panel = create("section", { id: "account-panel", role: "tabpanel" });
    this._tabs = create("div", { role: "tablist", "aria-label": text("account_page"), onkeydown: (event) => this._moveTab(event) }, tabs);
    this.replaceChildren(create("h1", {}, text("account_page")), this._tabs, this._panel);
    return this._select("users");
  }

  _moveTab(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const tabs = [...this._tabs.children];
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  }

  async _select(name) {
    for (const tab of this._tabs.children) {
      const selected = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
    }
    this._name = name;
    this._panel.setAttribute("aria-labelledby", `tab-${name}`);
    const table = this._tables[name];
    this._panel.replaceChildren(create("p", { class: "empty" }, text("loading")));
    try {
      const rows = await this._api.firstRows(`${this._api.account}/${table.path}`, ROWS);
      if (this._name === name) this._panel.replaceChildren(...(table.add ? [button(text("add"), table.add)] : []), this._table(table, rows));
    } catch (error) {
      this._panel.replaceChildren();
      report(error, () => this._select(name));
    }
  }

  _table({ columns, actions = {} }, rows) {
    if (rows.length === 0) return create("p", { class: "empty" }, text("nothing"));
    const head = [...columns.map((column) => create("th", { scope: "col" }, text(`column_${column}`)))];
    if (Object.keys(actions).length > 0) head.push(create("th", { scope: "col" }, text("column_actions")));
    const cells = (row) => [
      ...columns.map((column) => create("td", { "data-label": text(`column_${column}`) }, valueOf(row[column]))),
      ...(Object.keys(actions).length > 0 ? [create("td", {}, Object.entries(actions).map(([name, act]) => button(text(name), () => act(row))))] : []),
    ];
    return create("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": text(`tab_${this._name}`) },
      create("table", {}, create("thead", {}, create("tr", {}, head)), create("tbody", {}, rows.map((row) => create("tr", {}, cells(row))))));
  }

  async _create(path, names, types = {}) {
    const inputs = names.map((name) => create("input", { name, type: types[name] ?? "text", autocomplete: "off" }));
    const fields = names.map((name, i) => field(text(`column_${name}`), inputs[i]));
    const read = () => Object.fromEntries(inputs.filter((input) => input.value).map((input) => [input.name, input.value]));
    await this._send(path, fields, read);
  }

  async _createKey() {
    const name = create("input", { required: true });
    const scopes = SCOPES.map((scope) => create("input", { type: "checkbox", value: scope, checked: scope.endsWith(":read") }));
    const choices = create("fieldset", {}, create("legend", {}, text("column_scopes")), SCOPES.map((scope, i) => create("label", { class: "check" }, scopes[i], scope)));
    const read = () => ({ name: name.value, scopes: scopes.filter((box) => box.checked).map((box) => box.value) });
    const created = await this._send("api_keys", [field(text("column_name"), name), choices], read);
    if (created?.api_key) {
      const key = create("input", { readonly: true, value: created.api_key, onfocus: () => key.select() });
      const form = create("form", { method: "dialog" }, field(text("new_key"), key, text("new_key_hint")), create("button", {}, text("close")));
      await openDialog(text("tab_api_keys"), form);
    }
  }

  /** Shows a form; its data is sent with PUT. Returns the created document, or undefined. */
  async _send(path, fields, read) {
    const problem = create("p", { class: "failure", role: "alert" });
    let created;
    const form = create("form", { onsubmit: (event) => (event.preventDefault(), send()) }, fields, problem,
      create("div", { class: "actions" }, button(text("cancel"), () => closeDialog(form)), create("button", { type: "submit", class: "primary" }, text("add"))));
    const send = async () => {
      try {
        created = (await this._api.request("PUT", `${this._api.account}/${path}`, { data: read() })).data;
        closeDialog(form);
      } catch (error) {
        problem.textContent = textOf(error);
      }
    };
    await openDialog(text("add"), form);
    if (created !== undefined) await this._select(this._name);
    return created;
  }

  async _remove(path, row) {
    try {
      await this._api.request("DELETE", `${this._api.account}/${path}/${row.id}`);
      await this._select(this._name);
    } catch (error) {
      report(error);
    }
  }

  async _ping(row) {
    try {
      await this._api.request("POST", `${this._api.account}/webhooks/${row.id}/ping`);
      report(text("ping_sent"));
    } catch (error) {
      report(error);
    }
  }

  async _showAttempts(row) {
    try {
      const rows = await this._api.firstRows(`${this._api.account}/webhooks/${row.id}/attempts`, ROWS);
      const content = create("div", {}, this._table(this._tables.deliveries, rows), button(text("close"), () => closeDialog(content)));
      await openDialog(row.name ?? row.uri, content, { wide: true });
    } catch (error) {
      report(error);
    }
  }
}

function valueOf(value) {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "boolean") return value ? "✓" : "–";
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value)) return shortTime(new Date(value));
  return String(value);
}

customElements.define("account-page", AccountPage);
