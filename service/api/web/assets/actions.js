/** Changes of messages. Each reports its failures, and offers to undo what can be undone. */

import { openForwardDialog } from "./components/forward-dialog.js";
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
    for (const name of ["save", "markNew", "remove", "restore", "purge", "copy", "forward", "downloadAll"]) {
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
    const { done, failed } = await this._change("DELETE", "messages", messages);
    done.forEach((message) => this._list.remove(message.media_id));
    this._reportFailures(failed);
    // The box is kept, because another one can be shown when this is undone.
    const kept = done.map((message) => ({ ...message, box_id: this._list.boxOf(message).id }));
    if (done.length > 0) report(text("removed", { count: done.length }), () => this._undo(kept), text("undo"));
  }

  async restore(messages) {
    const { done, failed } = await this._change("POST", "trash", messages);
    done.forEach((message) => this._list.remove(message.media_id));
    this._reportFailures(failed);
    if (done.length > 0) report(text("restored", { count: done.length }));
  }

  async purge(messages) {
    const confirmed = await confirm(text("purge_question", { count: messages.length }), text("purge"));
    if (!confirmed) return;
    const { done, failed } = await this._change("DELETE", "trash", messages);
    done.forEach((message) => this._list.remove(message.media_id));
    this._reportFailures(failed);
  }

  async copy(messages) {
    const sources = new Set(messages.map((message) => this._list.boxOf(message).id));
    const others = this._boxes().filter((box) => sources.size > 1 || !sources.has(box.id));
    if (others.length === 0) return report(text("no_other_box"));
    const target = create("select", {}, others.map((box) => create("option", { value: box.id }, `${box.name} (${box.mailbox ?? "–"})`)));
    const form = create("form", { method: "dialog" }, field(text("copy_to"), target),
      create("div", { class: "actions" }, create("button", { value: "" }, text("cancel")), create("button", { value: "copy", class: "primary" }, text("copy"))));
    if ((await openDialog(text("copy"), form)) !== "copy") return;
    const { done, failed } = await this._change("POST", "messages", messages, { source_id: [target.value] });
    this._reportFailures(failed);
    if (done.length > 0) report(text("copied", { count: done.length }));
  }

  async forward([message]) {
    const { id } = this._list.boxOf(message);
    const others = this._boxes().filter((box) => box.id !== id);
    if (others.length === 0) return report(text("no_other_box"));
    const { data } = await this._api.request("GET", this._pathOf(id), { query: { fields: "vm_message_forward_type" } });
    const allowsComment = data.vm_message_forward_type === "prepend_forward";
    await openForwardDialog(this._api, `${this._pathOf(id)}/messages/${message.media_id}`, others, allowsComment);
  }

  async downloadAll(messages) {
    for (const [boxId, ids] of this._list.idsByBox(messages)) {
      const name = this._boxes().find((box) => box.id === boxId)?.name ?? text("title");
      await this._api.download(`${this._pathOf(boxId)}/messages/raw`, `${name}.zip`, { method: "POST", data: { messages: ids.slice(0, MAX_IDS) } });
    }
  }

  _pathOf(boxId) {
    return `${this._api.account}/vmboxes/${boxId}`;
  }

  async _file(messages, folder) {
    const { done, failed } = await this._change("POST", "messages", messages, { folder });
    done.forEach((message) => this._list.put({ ...message, folder }));
    this._reportFailures(failed);
  }

  /** Restores removed messages to their box, whichever view is shown in the meantime. */
  async _undo(messages) {
    try {
      const { done, failed } = await this._change("POST", "trash", messages);
      const shown = done.filter((message) => message.box_id === this._list.box.id && this._list.view === "inbox");
      shown.forEach((message) => this._list.put(message));
      this._reportFailures(failed);
    } catch (error) {
      report(error, () => this._undo(messages));
    }
  }

  /** Sends the ids in as few requests as the server allows. Returns the messages by their result. */
  async _change(method, kind, messages, more = {}) {
    const succeeded = new Set();
    for (const [boxId, all] of this._list.idsByBox(messages)) {
      for (let start = 0; start < all.length; start += MAX_IDS) {
        const ids = all.slice(start, start + MAX_IDS);
        const { data } = await this._api.request(method, `${this._pathOf(boxId)}/${kind}`, { data: { ...more, messages: ids } });
        (data.succeeded ?? ids).forEach((id) => succeeded.add(id));
      }
    }
    const isDone = (message) => succeeded.has(message.media_id);
    return { done: messages.filter(isDone), failed: messages.filter((message) => !isDone(message)) };
  }

  _reportFailures(failed) {
    if (failed.length > 0) report(text("some_failed", { count: failed.length }));
  }
}
