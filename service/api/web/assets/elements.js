/** Creation of DOM elements. Text from the server always becomes a text node. */

import { text } from "./texts.js";

/**
 * Returns an element. Attributes that begin with `on` are listeners; `true` is an empty attribute;
 * `false`, `null` and `undefined` are left out. Children are elements or texts; `null` is left out.
 */
export function create(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const button = (label, onclick, attributes = {}) =>
  create("button", { type: "button", onclick, ...attributes }, label);

/** A label with its input below it. */
export function field(label, input, hint = null) {
  return create("label", { class: "field" }, create("span", {}, label), input, hint && create("small", {}, hint));
}

/** A group of checkboxes of [value, label] pairs. `values` returns the checked values. */
export function checkboxes(label, options, isChecked = () => false) {
  const boxes = options.map(([value]) => create("input", { type: "checkbox", value, checked: isChecked(value) }));
  return {
    element: create("fieldset", { class: "choices" }, create("legend", {}, label), options.map(([, name], i) => create("label", { class: "check" }, boxes[i], name))),
    values: () => boxes.filter((box) => box.checked).map((box) => box.value),
  };
}

/** Shows a modal dialog with a heading and its content. Returns a promise of its return value. */
export function openDialog(title, content, { wide = false } = {}) {
  const heading = create("h2", { id: "dialog-title" }, title);
  const dialog = create("dialog", { "aria-labelledby": "dialog-title", class: wide ? "wide" : null }, heading, content);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}

/** Asks a question. Returns a promise of true if it is confirmed with the button `label`. */
export async function confirm(question, label) {
  const form = create("form", { method: "dialog" },
    create("div", { class: "actions" }, create("button", { value: "", autofocus: true }, text("cancel")), create("button", { value: "yes", class: "danger" }, label)));
  return (await openDialog(question, form)) === "yes";
}

export const closeDialog = (element, value = "") => element.closest("dialog").close(value);
