/** The number of new messages in the title and on the icon of the tab. */

import { text } from "./texts.js";

const SIZE = 32;
const MAX_SHOWN = 99;

export function badge(count) {
  document.title = count > 0 ? `(${count}) ${text("title")}` : text("title");
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const context = canvas.getContext("2d");
  context.fillStyle = "#3451b2";
  context.beginPath();
  context.roundRect(0, 0, SIZE, SIZE, 8);
  context.fill();
  context.fillStyle = "#fff";
  [6, 14, 20, 10, 4].forEach((height, i) => context.fillRect(4 + i * 5, (SIZE - height) / 2, 3, height));
  if (count > 0) {
    context.fillStyle = "#c62a2f";
    context.beginPath();
    context.arc(22, 10, 10, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = "#fff";
    context.font = "bold 13px sans-serif";
    context.textAlign = "center";
    context.fillText(String(Math.min(count, MAX_SHOWN)), 22, 15);
  }
  document.querySelector("link[rel=icon]").href = canvas.toDataURL("image/png");
}
