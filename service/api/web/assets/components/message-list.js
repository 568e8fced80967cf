/** The messages of a box, or its trash: a list that grows while it is scrolled. */

import { button, create } from "../elements.js";
import { text } from "../texts.js";
import { report } from "../toast.js";
import { MessageRow } from "./message-row.js";

const PAGE = 50;
const RETRY_S = 5;
const EMPTY = { inbox: "inbox_empty", trash: "trash_empty", search: "search_empty" };

export class MessageList extends HTMLElement {
  /** Set to true if the account has legal holds that the caller may see. */
  marksHeld = false;

  /**
   * Shows the view `inbox` or `trash` of a box, or the view `search`: the messages of all boxes that
   * contain `query`. `actions` is the object that changes messages.
   */
  open(api, box, view, actions, query = "") {
    Object.assign(this, { api, box, view, actions, query });
    this._rows = new Map();
    this._generation = (this._generation ?? 0) + 1;
    this._list = create("div", { class: "messages", role: "list", "aria-label": view === "search" ? text("search_results") : box.name });
    this._empty = create("p", { class: "empty", hidden: true }, text(EMPTY[view]));
    this._end = create("div", { class: "end", "aria-hidden": "true" });
    this._all = create("input", { type: "checkbox", "aria-label": text("select_all"), onchange: () => this._selectAll() });
    this._bulk = create("div", { class: "bulk", role: "toolbar", "aria-label": text("selected_actions") });
    this.replaceChildren(
      create("div", { class: "tools" }, create("label", { class: "check" }, this._all, text("select_all")), this._bulk),
      this._list, this._empty, this._end,
    );
    this._seen?.disconnect();
    this._seen = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && this._load(), { rootMargin: "600px" });
    this.addEventListener("keydown", this._onKey);
    this._updateTools();
    return this.reload();
  }

  disconnectedCallback() {
    this._seen?.disconnect();
  }

  get path() {
    if (this.view === "search") return `${this.api.account}/vmboxes/messages`;
    return `${this.api.account}/vmboxes/${this.box.id}/${this.view === "trash" ? "trash" : "messages"}`;
  }

  /** The box of a message. Results of a search have the id of theirs. */
  boxOf(message) {
    return message.box_id === undefined ? this.box : { id: message.box_id, name: message.vmbox_name };
  }

  /** Reads the list again from its first page. */
  async reload() {
    this._generation += 1;
    this._next = undefined;
    this._complete = false;
    this._loading = null;
    this._rows.clear();
    this._list.replaceChildren();
    await this._load();
    this._seen.observe(this._end);
  }

  /** Selected messages, or all of the list if none is given. */
  get selected() {
    return [...this._rows.values()].filter((row) => row.selected).map((row) => row.message);
  }

  /** Adds a message where its time belongs, or replaces the one with its id. */
  put(message) {
    const existing = this._rows.get(message.media_id);
    if (existing !== undefined) {
      existing.update({ ...existing.message, ...message });
      return;
    }
    const following = [...this._list.children].find((row) => !isAfter(row.message, message));
    // An older message than the last loaded one comes with its page. A search is not repeated.
    if ((following === undefined && !this._complete) || this.view === "search") return;
    this._insert(message, following ?? null);
    this._updateTools();
    this._markHeld([message]);
  }

  remove(mediaId) {
    const row = this._rows.get(mediaId);
    if (row === undefined) return;
    const next = row.nextElementSibling ?? row.previousElementSibling;
    if (row.contains(document.activeElement)) next?.focusSummary();
    row.remove();
    this._rows.delete(mediaId);
    this._updateTools();
  }

  /** Opens a message of the box, also one that is not loaded yet. */
  async reveal(mediaId) {
    if (!this._rows.has(mediaId)) {
      const { data } = await this.api.request("GET", `${this.path}/${mediaId}`);
      const following = [...this._list.children].find((row) => !isAfter(row.message, data));
      this._insert(data, following ?? null);
      this._updateTools();
      this._markHeld([data]);
    }
    const row = this._rows.get(mediaId);
    row.toggle();
    row.scrollIntoView({ block: "center" });
    row.focusSummary();
  }

  /** Updates the relative times. */
  refreshTimes() {
    this._rows.forEach((row) => row.refreshTime());
  }

  _load() {
    if (this._complete) return Promise.resolve();
    this._loading ??= this._loadPage(this._generation).finally(() => (this._loading = null));
    return this._loading;
  }

  async _loadPage(generation) {
    this.setAttribute("aria-busy", "true");
    try {
      const page = await this.api.request("GET", this.path, { query: { page_size: PAGE, start_key: this._next, q: this.query || null } });
      if (generation !== this._generation) return;
      const messages = this.view === "search" ? page.data.flatMap(ofBox) : page.data;
      messages.forEach((message) => this._rows.has(message.media_id) || this._insert(message, null));
      this._next = page.next_start_key;
      this._complete = !this._next;
      this._updateTools();
      this._markHeld(messages);
      // The observer does not report again while the end stays visible.
      this._seen.unobserve(this._end);
      this._seen.observe(this._end);
    } catch (error) {
      if (generation !== this._generation) return;
      report(error, () => this._load());
      // The end of the list may stay visible, which does not load it again.
      if (error.status === 429 || error.status === 503) setTimeout(() => this._load(), (error.retryAfterS || RETRY_S) * 1000);
    } finally {
      if (generation === this._generation) this.removeAttribute("aria-busy");
    }
  }

  /** Marks the messages that a legal hold covers. */
  async _markHeld(messages) {
    if (!this.marksHeld || messages.length === 0) return;
    try {
      for (const [boxId, ids] of this.idsByBox(messages)) {
        const { data } = await this.api.request("POST", `${this.api.account}/vmboxes/${boxId}/holds`, { data: { messages: ids } });
        data.held.forEach((id) => this._rows.get(id)?.markHeld());
      }
    } catch {
      // The list is complete without the marks.
    }
  }

  /** Returns the ids of messages by the id of their box. */
  idsByBox(messages) {
    const ids = new Map();
    for (const message of messages) {
      const boxId = this.boxOf(message).id;
      ids.set(boxId, [...(ids.get(boxId) ?? []), message.media_id]);
    }
    return ids;
  }

  _insert(message, following) {
    const row = new MessageRow();
    row.show(this, message);
    this._rows.set(message.media_id, row);
    this._list.insertBefore(row, following);
  }

  _selectAll() {
    this._rows.forEach((row) => (row.selected = this._all.checked));
    this.selectionChanged();
  }

  /** Called by a row when its checkbox changed. */
  selectionChanged() {
    this._updateTools();
  }

  _updateTools() {
    const count = this.selected.length;
    this._empty.hidden = this._rows.size > 0 || !this._complete;
    this._all.checked = count > 0 && count === this._rows.size;
    this._all.indeterminate = count > 0 && count < this._rows.size;
    this._all.disabled = this._rows.size === 0;
    const run = (action) => () => this.actions[action](this.selected);
    const names = this.view === "trash" ? ["restore", "purge"] : ["save", "markNew", "remove", "copy", "downloadAll"];
    this._bulk.replaceChildren(
      ...(count === 0 ? [] : [create("span", { role: "status" }, text("selected", { count })), ...names.map((name) => button(text(name), run(name)))]),
    );
  }

  /** Up and down move between the rows. */
  _onKey(event) {
    const row = event.target.closest?.("message-row");
    if (row === null || event.target.matches("input, select, textarea")) return;
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (step === undefined || row[step] === null) return;
    row[step].focusSummary();
    event.preventDefault();
  }
}

/** A row of the list of all boxes is an object whose only key is the id of the box. */
const ofBox = (row) => Object.entries(row).map(([boxId, message]) => ({ ...message, box_id: boxId }));

const isAfter = (one, other) =>
  one.timestamp > other.timestamp || (one.timestamp === other.timestamp && one.media_id > other.media_id);

customElements.define("message-list", MessageList);
