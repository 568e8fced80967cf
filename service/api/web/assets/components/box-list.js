/** The boxes of the caller with their counts. Emits `choose` with a box. */

import { create } from "../elements.js";
import { text } from "../texts.js";

export class BoxList extends HTMLElement {
  /** `boxes` are rows of the list of boxes. */
  show(boxes) {
    this._items = new Map(boxes.map((box) => [box.id, this._item(box)]));
    this.replaceChildren(
      create("h2", { id: "boxes-title" }, text("boxes")),
      create("ul", { "aria-labelledby": "boxes-title" }, [...this._items.values()].map((item) => create("li", {}, item))),
    );
    if (boxes.length === 0) this.append(create("p", { class: "empty" }, text("no_boxes")));
  }

  choose(boxId) {
    this._items.forEach((item, id) => (id === boxId ? item.setAttribute("aria-current", "true") : item.removeAttribute("aria-current")));
  }

  setCounts(boxId, { new: unheard, saved }) {
    const item = this._items.get(boxId);
    if (item === undefined) return;
    item.classList.toggle("lamp", unheard > 0);
    item.querySelector(".count").textContent = unheard || "";
    item.querySelector(".count").title = text("counts", { new: unheard, saved });
  }

  _item(box) {
    const item = create("button", { type: "button", onclick: () => this.dispatchEvent(new CustomEvent("choose", { detail: box })) },
      create("span", { class: "dot", "aria-hidden": "true" }), create("span", { class: "name" }, box.name),
      create("span", { class: "mailbox" }, box.mailbox ?? ""), create("span", { class: "count" }));
    queueMicrotask(() => this.setCounts(box.id, box.folders));
    return item;
  }
}

customElements.define("box-list", BoxList);
