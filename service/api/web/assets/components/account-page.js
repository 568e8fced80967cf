/** The page for administrators: users, boxes, API keys, webhooks, failed deliveries, holds, audit. */

import { button, closeDialog, confirm, create, openDialog } from "../elements.js";
import { dateOf, shortTime } from "../format.js";
import { text } from "../texts.js";
import { report } from "../toast.js";
import { openDocumentForm, openHoldForm, openKeyForm } from "./account-forms.js";

const ROWS = 50;
const GREGORIAN = new Set(["timestamp", "created", "failed", "deleted_at", "restorable_until", "created_from", "created_to", "expires"]);
const ATTEMPTS = ["timestamp", "hook", "attempt", "status", "response_code", "error"];

export class AccountPage extends HTMLElement {
  /** `boxes` returns the boxes of the account. `onchange` is called after a change of boxes or holds. */
  show(api, boxes, onchange) {
    Object.assign(this, { _api: api, _boxes: boxes, _onchange: onchange });
    this._tables = this._describe();
    const tabs = Object.keys(this._tables).map((name) => create("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "account-panel", onclick: () => this._select(name),
    }, text(`tab_${name}`)));
    this._panel = create("section", { id: "account-panel", role: "tabpanel" });
    this._tabs = create("div", { role: "tablist", "aria-label": text("account_page"), onkeydown: (event) => this._moveTab(event) }, tabs);
    this.replaceChildren(create("h1", {}, text("account_page")), this._tabs, this._panel);
    return this._select("users");
  }

  /** The tables by name. `add` opens a form, `all` acts on all rows, `actions` act on one. */
  _describe() {
    const form = (path, names) => () => openDocumentForm(this._api, path, names);
    return {
      users: {
        path: "users", columns: ["username", "first_name", "last_name", "email"],
        add: form("users", ["username", "password", "first_name", "last_name", "email"]),
      },
      boxes: { path: "vmboxes", columns: ["mailbox", "name", "messages"], add: form("vmboxes", ["name", "mailbox"]) },
      deleted_boxes: {
        path: "trash", columns: ["mailbox", "name", "deleted_at", "restorable_until"],
        actions: { restore: (row) => this._restoreBox(row) },
      },
      api_keys: {
        path: "api_keys", columns: ["name", "scopes", "expires"], add: () => openKeyForm(this._api),
        actions: { revoke: (row) => this._remove("api_keys", row, "revoke") },
      },
      webhooks: {
        path: "webhooks", columns: ["name", "uri", "enabled"],
        actions: { ping: (row) => this._ping(row), attempts: (row) => this._showAttempts(row) },
      },
      attempts: { path: "webhooks/attempts", columns: ATTEMPTS },
      deliveries: {
        path: "deliveries", columns: ["channel", "target", "type", "attempts", "failed", "error"],
        actions: { retry: ({ event_id, channel, target }) => this._retry({ event_id, channel, target }) },
        all: { retry_all: () => this._retry({}) },
      },
      holds: {
        path: "holds", columns: ["name", "reason", "vmbox_ids", "caller_id_number", "created_from", "created_to", "created"],
        add: () => openHoldForm(this._api, this._boxes()), changes: true,
        actions: { export_hold: (row) => this._exportHold(row), release: (row) => this._remove("holds", row, "release") },
      },
      audit: { path: "audit", columns: ["time", "action", "result", "principal", "target", "peer"] },
    };
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
    this._panel.replaceChildren(create("p", { class: "empty" }, text("loading")));
    try {
      const page = await this._read(this._tables[name].path);
      if (this._name === name) this._panel.replaceChildren(this._toolbar(name, page.data), this._table(name, this._tables[name], page));
    } catch (error) {
      this._panel.replaceChildren();
      report(error, () => this._select(name));
    }
  }

  _read(path, start) {
    return this._api.request("GET", `${this._api.account}/${path}`, { query: { page_size: ROWS, start_key: start } });
  }

  _toolbar(name, rows) {
    const { add, changes, all = {} } = this._tables[name];
    const openForm = async () => {
      if ((await add()) === undefined) return;
      if (changes) this._onchange();
      await this._select(name);
    };
    const shared = rows.length === 0 ? [] : Object.entries(all).map(([action, act]) => button(text(action), act));
    return create("div", { class: "actions" }, ...(add ? [button(text("add"), openForm)] : []), ...shared);
  }

  /** A table of a page of rows, and a button that adds the next page. */
  _table(name, { path, columns, actions = {} }, page) {
    if (page.data.length === 0) return create("p", { class: "empty" }, text("nothing"));
    const head = columns.map((column) => create("th", { scope: "col" }, text(`column_${column}`)));
    const hasActions = Object.keys(actions).length > 0;
    if (hasActions) head.push(create("th", { scope: "col" }, text("column_actions")));
    const cells = (row) => [
      ...columns.map((column) => create("td", {}, this._valueOf(column, row[column]))),
      ...(hasActions ? [create("td", {}, Object.entries(actions).map(([action, act]) => button(text(action), () => act(row))))] : []),
    ];
    const body = create("tbody");
    const more = button(text("more"), async () => {
      try {
        show(await this._read(path, more.value));
      } catch (error) {
        report(error);
      }
    });
    const show = ({ data, next_start_key: next }) => {
      body.append(...data.map((row) => create("tr", {}, cells(row))));
      more.value = next ?? "";
      more.hidden = !next;
    };
    show(page);
    return create("div", {}, create("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": text(`tab_${name}`) },
      create("table", {}, create("thead", {}, create("tr", {}, head)), body)), more);
  }

  _valueOf(column, value) {
    if (value === undefined || value === null) return "";
    if (column === "vmbox_ids") return value.map((id) => this._boxes().find((box) => box.id === id)?.name ?? id).join(", ");
    if (Array.isArray(value)) return value.join(", ");
    if (typeof value === "boolean") return value ? "✓" : "–";
    if (GREGORIAN.has(column) && typeof value === "number") return shortTime(dateOf(value));
    if (column === "time") return shortTime(new Date(value));
    return String(value);
  }

  /** Runs a change and shows the table again. Reports the failure, or what `done` returns. */
  async _change(change, done = () => null) {
    try {
      const message = done(await change());
      if (message) report(message);
      await this._select(this._name);
    } catch (error) {
      report(error);
    }
  }

  async _remove(path, row, action) {
    if (!(await confirm(text(`${action}_question`, { name: row.name }), text(action)))) return;
    await this._change(() => this._api.request("DELETE", `${this._api.account}/${path}/${row.id}`));
    this._onchange();
  }

  async _restoreBox(row) {
    await this._change(
      () => this._api.request("POST", `${this._api.account}/trash`, { data: { vmboxes: [row.id] } }),
      ({ data }) => text(data.succeeded.length > 0 ? "box_restored" : "box_not_restored", { name: row.name }),
    );
    this._onchange();
  }

  _retry(selection) {
    return this._change(
      () => this._api.request("POST", `${this._api.account}/deliveries`, { data: selection }),
      ({ data }) => text("retried", { count: data.retried }),
    );
  }

  async _exportHold(row) {
    try {
      await this._api.download(`${this._api.account}/holds/${row.id}/export`, `${row.name}.zip`);
    } catch (error) {
      report(error);
    }
  }

  async _ping(row) {
    try {
      const { data } = await this._api.request("POST", `${this._api.account}/webhooks/${row.id}/ping`);
      report(data.status === "success" ? text("ping_sent") : text("ping_failed", { error: data.error ?? "" }));
    } catch (error) {
      report(error);
    }
  }

  async _showAttempts(row) {
    try {
      const path = `webhooks/${row.id}/attempts`;
      const table = this._table("attempts", { path, columns: ATTEMPTS }, await this._read(path));
      const content = create("div", {}, table, button(text("close"), () => closeDialog(content)));
      await openDialog(row.name ?? row.uri, content, { wide: true });
    } catch (error) {
      report(error);
    }
  }
}

customElements.define("account-page", AccountPage);
