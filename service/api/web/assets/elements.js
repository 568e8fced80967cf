/** Creation of DOM elements. Text from the server always becomes a text node. */

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

export const button = (text, onclick, attributes = {}) =>
  create("button", { type: "button", onclick, ...attributes }, text);

/** A label with its input below it. */
export function field(label, input, hint = null) {
  return create("label", { class: "field" }, create("span", {}, label), input, hint && create("small", {}, hint));
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

export const closeDialog = (element, value = "") => element.closest("dialog").close(value);
