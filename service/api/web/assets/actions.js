/** Changes of messages. Each reports its failures, and offers to undo what can be undone. */

import { confirm, create, field, openDialog } from "./elements.js";
import { text } from "./texts.js";
import { report } from "./toast.js";

const MAX_IDS = 1000;

export class Actions {
  /** `list` is the list that shows the messages; `boxes` returns the boxes that they can be copied to. */
  constructor(api, list, boxes) {
    this._api = api;
    this._list = list;
    this._boxes = boxes;
    for (const name of ["save", "markNew", "remove", "restore", "purge", "copy", "downloadAll"]) {
      const action = this[name].bind(this);
      this[name] = (messages) => action(messages).catch((error) => report(error, () => this[name](messages)));
    }
  }

  async save(messages) {
    await this._file(messages, "saved");
  }

  async markNew(messages) {
    await this._file(messages, "new");
  }

  async remove(messages) {
    const box = this._list.box;
    const { done, failed } = await this._change("DELETE", `${this._path}/messages`, messages);
    done.forEach((message) => this._list.remove(message.media_id));
    this._reportFailures(failed);
    if (done.length > 0) report(text("removed", { count: done.length }), () => this._restoreTo(box, done), text("undo"));
  }

  async restore(messages) {
    const { done, failed } = await this._change("POST", `${this._path}/trash`, messages);
    done.forEach((message) => this._list.remove(message.media_id));
    this._reportFailures(failed);
    if (done.length > 0) report(text("restored", { count: done.length }));
  }

  async purge(messages) {
    const confirmed = await confirm(text("purge_question", { count: messages.length }), text("purge"));
    if (!confirmed) return;
    const { done, failed } = await this._change("DELETE", `${this._path}/trash`, messages);
    done.forEach((message) => this._list.remove(message.media_id));
    this._reportFailures(failed);
  }

  async copy(messages) {
    const others = this._boxes().filter((box) => box.id !== this._list.box.id);
    if (others.length === 0) return report(text("no_other_box"));
    const target = create("select", {}, others.map((box) => create("option", { value: box.id }, `${box.name} (${box.mailbox ?? "–"})`)));
    const form = create("form", { method: "dialog" }, field(text("copy_to"), target),
      create("div", { class: "actions" }, create("button", { value: "" }, text("cancel")), create("button", { value: "copy", class: "primary" }, text("copy"))));
    if ((await openDialog(text("copy"), form)) !== "copy") return;
    const { done, failed } = await this._change("POST", `${this._path}/messages`, messages, { source_id: [target.value] });
    this._reportFailures(failed);
    if (done.length > 0) report(text("copied", { count: done.length }));
  }

  async downloadAll(messages) {
    const ids = messages.slice(0, MAX_IDS).map((message) => message.media_id);
    await this._api.download(`${this._path}/messages/raw`, `${this._list.box.name}.zip`, { method: "POST", data: { messages: ids } });
  }

  get _path() {
    return `${this._api.account}/vmboxes/${this._list.box.id}`;
  }

  async _file(messages, folder) {
    const { done, failed } = await this._change("POST", `${this._path}/messages`, messages, { folder });
    done.forEach((message) => this._list.put({ ...message, folder }));
    this._reportFailures(failed);
  }

  async _restoreTo(box, messages) {
    try {
      const { done, failed } = await this._change("POST", `${this._api.account}/vmboxes/${box.id}/trash`, messages);
      if (this._list.box.id === box.id && this._list.view === "inbox") done.forEach((message) => this._list.put(message));
      this._reportFailures(failed);
    } catch (error) {
      report(error, () => this._restoreTo(box, messages));
    }
  }

  /** Sends the ids in as few requests as the server allows. Returns the messages by their result. */
  async _change(method, path, messages, more = {}) {
    const succeeded = new Set();
    for (let start = 0; start < messages.length; start += MAX_IDS) {
      const ids = messages.slice(start, start + MAX_IDS).map((message) => message.media_id);
      const { data } = await this._api.request(method, path, { data: { ...more, messages: ids } });
      (data.succeeded ?? ids).forEach((id) => succeeded.add(id));
    }
    const isDone = (message) => succeeded.has(message.media_id);
    return { done: messages.filter(isDone), failed: messages.filter((message) => !isDone(message)) };
  }

  _reportFailures(failed) {
    if (failed.length > 0) report(text("some_failed", { count: failed.length }));
  }
}
