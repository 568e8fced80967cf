/** One message: a line that opens to its player, its transcription and its actions. */

import { button, create } from "../elements.js";
import { callerOf, clock, dateOf, exactTime, relativeTime } from "../format.js";
import { excerpt, marked, transcription } from "../highlight.js";
import { preferences } from "../preferences.js";
import { text } from "../texts.js";
import { report } from "../toast.js";
import "./message-player.js";

const LINK_LIFETIME_S = 3600;

export class MessageRow extends HTMLElement {
  show(list, message) {
    this._list = list;
    this.className = "message";
    this.setAttribute("role", "listitem");
    this._check = create("input", { type: "checkbox", onchange: () => list.selectionChanged() });
    this._caller = create("span", { class: "caller" });
    this._number = create("span");
    this._box = create("span", { class: "box-name" });
    this._badges = create("span", { class: "badges" });
    this._time = create("time");
    this._length = create("span", { class: "length" });
    this._excerpt = create("span", { class: "excerpt" });
    this._summary = create("button", { type: "button", class: "summary", "aria-expanded": "false", onclick: () => this.toggle() },
      this._caller, create("span", { class: "number" }, this._number, this._box), this._badges, this._excerpt, this._length, this._time);
    this._details = create("div", { class: "details", hidden: true });
    this.append(create("div", { class: "line" }, this._check, this._summary), this._details);
    this.update(message);
  }

  get selected() {
    return this._check.checked;
  }

  set selected(value) {
    this._check.checked = value;
  }

  update(message) {
    const isTranscribed = message.transcribed && !this.message?.transcribed;
    this.message = message;
    const caller = callerOf(message);
    this.dataset.folder = message.folder;
    this._check.setAttribute("aria-label", text("select_message", { caller }));
    const { match } = message;
    this._caller.replaceChildren(...marked(message.caller_id_name ? "caller_id_name" : "caller_id_number", caller, match));
    this._number.replaceChildren(...marked("caller_id_number", message.caller_id_name ? message.caller_id_number : "", match));
    this._box.replaceChildren(...marked("vmbox_name", message.vmbox_name ?? "", match));
    if (message.transcript !== undefined) this._excerpt.replaceChildren(...excerpt(message.transcript, match));
    this._length.textContent = clock(message.length / 1000);
    const badges = [message.retention ? "expired" : message.folder, ...(this._isHeld ? ["held"] : [])];
    this._badges.replaceChildren(...badges.map((name) => create("span", { class: `badge ${name}` }, text(`badge_${name}`))));
    this.refreshTime();
    if (isTranscribed && message.transcript === undefined) this._loadExcerpt();
    if (!this._details.hidden) this._showActions();
  }

  markHeld() {
    this._isHeld = true;
    this.update(this.message);
  }

  refreshTime() {
    const date = dateOf(this.message.timestamp);
    this._time.dateTime = date.toISOString();
    this._time.textContent = relativeTime(date);
    this._time.title = exactTime(date, this._list.box.timezone);
  }

  focusSummary() {
    this._summary.focus();
  }

  toggle() {
    const opens = this._details.hidden;
    this._details.hidden = !opens;
    this._summary.setAttribute("aria-expanded", String(opens));
    if (opens) this._open();
    else this._details.replaceChildren();
  }

  get _path() {
    const { api } = this._list;
    return `${api.account}/vmboxes/${this._list.boxOf(this.message).id}/messages/${this.message.media_id}`;
  }

  async _open() {
    const when = exactTime(dateOf(this.message.timestamp), this._list.box.timezone);
    this._actions = create("div", { class: "actions" });
    this._details.replaceChildren(create("p", { class: "when" }, when), this._actions);
    this._showActions();
    if (this._list.view === "trash") return;
    const player = create("message-player");
    player.addEventListener("played", () => preferences.saveWhenPlayed && this.message.folder === "new" && this._list.actions.save([this.message]));
    this._details.insertBefore(player, this._actions);
    try {
      const link = await this._createLink();
      player.show(this.message.media_id, link, this.message.length / 1000);
      const { data } = await this._list.api.request("GET", this._path);
      const words = data.transcription?.text ? await this._readWords() : [];
      if (data.transcription?.text)
        this._details.insertBefore(transcription(data.transcription.text, this.message.match, words, (seconds) => player.playFrom(seconds)), this._actions);
    } catch (error) {
      report(error);
    }
  }

  /** Returns the words of the transcription with their times; empty if the engine sent none. */
  async _readWords() {
    try {
      return (await this._list.api.request("GET", `${this._path}/transcription`)).data.words;
    } catch {
      return [];
    }
  }

  async _createLink() {
    const data = { expires_in_s: LINK_LIFETIME_S };
    const link = (await this._list.api.request("POST", `${this._path}/link`, { data })).data;
    // Of the origin of the page, which can differ from the public URL.
    return new URL(link.url).pathname;
  }

  async _loadExcerpt() {
    try {
      const { data } = await this._list.api.request("GET", this._path);
      this._excerpt.textContent = data.transcription?.text ?? "";
    } catch {
      // The row is complete without an excerpt.
    }
  }

  _showActions() {
    const { actions, view } = this._list;
    const run = (name) => button(text(name), () => actions[name]([this.message]));
    const names = view === "trash" ? ["restore", "purge"] : [this.message.folder === "saved" ? "markNew" : "save", "remove", "forward", "copy"];
    const copyLink = button(text("copy_link"), () => this._copyLink());
    this._actions.replaceChildren(...names.map(run), ...(view === "trash" ? [] : [copyLink]));
  }

  async _copyLink() {
    try {
      const token = (await this._createLink()).split("/").at(-1);
      await navigator.clipboard.writeText(`${location.origin}${location.pathname}#recording=${token}`);
      report(text("link_copied"));
    } catch (error) {
      report(error);
    }
  }
}

customElements.define("message-row", MessageRow);
