/** The page: sign-in, the inbox, the account, or one recording of a link. */

import { Actions } from "./actions.js";
import { Api } from "./api.js";
import { badge } from "./badge.js";
import "./components/box-list.js";
import { openBoxSettings } from "./components/box-settings.js";
import "./components/message-list.js";
import "./components/message-player.js";
import "./components/sign-in.js";
import { button, create } from "./elements.js";
import { callerOf, dateOf, exactTime } from "./format.js";
import { LiveEvents } from "./live.js";
import { preferences, setPreference } from "./preferences.js";
import { Session } from "./session.js";
import { language, text } from "./texts.js";
import { report, textOf } from "./toast.js";

const REFRESH_TIMES_MS = 30_000;
const TYPE_PREFIX = "voicemail.";

const root = document.getElementById("app");
const api = new Api(() => endSession(text("expired_session")));
let live = null;
let inbox = null;

document.documentElement.lang = language;
document.getElementById("skip").textContent = text("skip_to_messages");
addEventListener("hashchange", start);
addEventListener("offline", () => setState(false));
setInterval(() => inbox?.list.refreshTimes(), REFRESH_TIMES_MS);
start();

function start() {
  const [token, mail] = [linked("recording"), linked("mail")];
  live?.stop();
  inbox = null;
  if (token !== null) return showRecording(token);
  if (mail !== null) return showMailed(mail);
  api.session = Session.restore();
  if (api.session === null) return showSignIn();
  return showInbox().catch((error) => (api.session === null ? null : report(error, start)));
}

/** Returns a value of the fragment, which mails and copied links contain. */
function linked(name) {
  return new URLSearchParams(location.hash.slice(1)).get(name);
}

function showSignIn(reason) {
  const form = create("sign-in");
  root.replaceChildren(create("main", { id: "main", class: "centre" }, form));
  form.addEventListener("signed-in", ({ detail }) => {
    detail.save();
    start();
  });
  form.show(api, reason);
  badge(0);
}

function endSession(reason) {
  live?.stop();
  inbox = null;
  api.session = null;
  Session.forget();
  showSignIn(reason);
}

async function signOut() {
  await api.request("DELETE", "/v2/token_auth").catch(() => {});
  endSession("");
}

function showRecording(token) {
  const player = create("message-player");
  root.replaceChildren(create("main", { id: "main", class: "centre" }, create("div", { class: "card" }, create("h1", {}, text("recording")), player)));
  player.show(token.slice(-32), `/v2/recordings/${encodeURIComponent(token)}`, 0);
}

/** Shows the message of a link in a mail. The token is sent in a body, so that no proxy logs it. */
async function showMailed(token) {
  const card = create("div", { class: "card mailed" }, create("h1", {}, text("title")));
  root.replaceChildren(create("main", { id: "main", class: "centre" }, card));
  const signIn = (fragment) => create("p", { class: "actions" }, create("a", { class: "button", href: `#${fragment}` }, text("open_inbox")));
  try {
    const { data } = await new Api(() => {}).request("POST", "/v2/recordings", { data: { token } });
    const player = create("message-player");
    card.replaceChildren(create("h1", { class: "caller" }, callerOf(data)),
      ...(data.caller_id_name ? [create("p", { class: "number" }, data.caller_id_number)] : []),
      create("p", { class: "when" }, `${data.vmbox_name}, ${exactTime(dateOf(data.timestamp), data.timezone)}`), player,
      ...(data.transcription ? [create("blockquote", { class: "transcription" }, data.transcription)] : []),
      signIn(`box=${data.vmbox_id}&message=${data.media_id}`));
    player.show(data.media_id, new URL(data.url).pathname, data.length / 1000);
  } catch (error) {
    const isEnded = [400, 401, 404].includes(error.status);
    card.append(create("p", { class: "failure", role: "alert" }, isEnded ? text("link_ended") : textOf(error)), signIn(""));
  }
}

async function showInbox() {
  const cursor = await LiveEvents.positionOf(api);
  const [boxes, user] = await Promise.all([readBoxes(), readUser()]);
  const isAdmin = user?.priv_level === "admin";
  const list = create("message-list");
  const boxList = create("box-list");
  const title = create("h1", { tabindex: "-1" });
  const tabs = { inbox: button(text("inbox"), () => open(inbox.box, "inbox")), trash: button(text("trash"), () => open(inbox.box, "trash")) };
  const settings = button(text("settings"), () => changeSettings());
  const whenPlayed = create("input", { type: "checkbox", checked: preferences.saveWhenPlayed, onchange: () => setPreference("saveWhenPlayed", whenPlayed.checked) });
  const main = create("main", { id: "main" },
    create("header", { class: "box" }, title, create("nav", { "aria-label": text("folders") }, tabs.inbox, tabs.trash), settings,
      create("label", { class: "check" }, whenPlayed, text("save_when_played"))),
    list);
  const account = create("main", { id: "main" });
  inbox = { isAdmin, boxes, list, boxList, actions: new Actions(api, list, () => inbox.boxes), tabs, title, main };
  const words = create("input", { type: "search", maxlength: 200, placeholder: text("search"), "aria-label": text("search_all") });
  const search = create("form", { role: "search", onsubmit: (event) => (event.preventDefault(), account.replaceWith(main), find(words.value.trim())) }, words);
  const state = create("span", { id: "state", role: "status" });
  root.replaceChildren(
    create("header", { class: "top" }, create("strong", {}, text("title")), create("span", { class: "account" }, api.session.accountName), search, state,
      isAdmin ? button(text("account_page"), () => (main.replaceWith(account), boxList.choose(null), showAccount(account)), { class: "quiet" }) : null,
      button(text("sign_out"), signOut, { class: "quiet" })),
    create("div", { class: "panes" }, create("nav", { class: "boxes", "aria-label": text("boxes") }, boxList), main),
  );
  boxList.show(boxes);
  boxList.addEventListener("choose", ({ detail }) => {
    account.replaceWith(main);
    open(detail, "inbox").then(() => title.focus());
  });
  updateBadge();
  list.marksHeld = await hasHolds();
  live = new LiveEvents(api, cursor, { onEvent, onReset: readAgain, onState: setState });
  const first = boxes.find((box) => box.id === linked("box")) ?? boxes.find((box) => box.folders.new > 0) ?? boxes[0];
  await open(first, "inbox");
  if (linked("message") !== null && first?.id === linked("box")) await list.reveal(linked("message"));
}

/** Loads the page for administrators when it is first opened. */
async function showAccount(parent) {
  try {
    await import("./components/account-page.js");
    const page = create("account-page");
    parent.replaceChildren(page);
    await page.show(api, () => inbox.boxes, () => readAgain().catch(report));
  } catch (error) {
    report(error);
  }
}

const readBoxes = () => api.rows(`${api.account}/vmboxes`);

/** Returns true if messages of the account are held. Only administrators see it. */
async function hasHolds() {
  if (!inbox.isAdmin) return false;
  const { data } = await api.request("GET", `${api.account}/holds`, { query: { page_size: 1 } });
  return data.length > 0;
}

async function readUser() {
  const { ownerId } = api.session;
  return ownerId ? (await api.request("GET", `${api.account}/users/${ownerId}`)).data : null;
}

/** Shows a box. Its time zone is not part of the row in the list of boxes. */
async function open(box, view) {
  if (box === undefined) return;
  const request = (inbox.request = {});
  inbox.box = box;
  inbox.title.textContent = box.name;
  inbox.main.classList.remove("search");
  inbox.boxList.choose(box.id);
  for (const [name, tab] of Object.entries(inbox.tabs)) tab.setAttribute("aria-pressed", String(name === view));
  if (box.timezone === undefined) {
    const { data } = await api.request("GET", `${api.account}/vmboxes/${box.id}`, { query: { fields: "timezone" } }).catch(() => ({ data: {} }));
    box.timezone = data.timezone;
  }
  if (inbox?.request === request) await inbox.list.open(api, box, view, inbox.actions);
}

/** Shows the messages of all boxes that contain a text; without a text, the last box again. */
async function find(query) {
  if (query === "") return open(inbox.box, "inbox");
  // A box that is still being opened must not replace the results.
  inbox.request = {};
  inbox.title.textContent = text("results_of", { query });
  inbox.main.classList.add("search");
  inbox.boxList.choose(null);
  await inbox.list.open(api, inbox.box, "search", inbox.actions, query);
  inbox.title.focus();
}

async function changeSettings() {
  const { box } = inbox;
  try {
    if (await openBoxSettings(api, box)) await readAgain();
  } catch (error) {
    report(error);
  }
}

/** Reads boxes and messages again: events were lost, or names have changed. */
async function readAgain() {
  const boxes = await readBoxes();
  if (inbox === null) return;
  inbox.boxes = boxes;
  inbox.list.marksHeld = await hasHolds();
  inbox.boxList.show(boxes);
  updateBadge();
  const current = boxes.find((box) => box.id === inbox.box?.id) ?? boxes[0];
  if (inbox.list.view === "search") return inbox.list.reload();
  await open(current, current?.id === inbox.box?.id ? inbox.list.view ?? "inbox" : "inbox");
}

function onEvent({ type, data }) {
  if (inbox === null) return;
  const name = type.slice(TYPE_PREFIX.length);
  const box = inbox.boxes.find(({ id }) => id === data.vmbox_id);
  if (name.startsWith("vmbox.") && name !== "vmbox.full" && name !== "vmbox.pin_locked") readAgain().catch(report);
  if (box === undefined) return;
  if (data.counts) {
    box.folders = data.counts;
    inbox.boxList.setCounts(box.id, data.counts);
    updateBadge();
  }
  if (box.id === inbox.box?.id || inbox.list.view === "search") showChange(name, data);
}

function showChange(name, { message, media_id: id }) {
  const { list } = inbox;
  const isTrash = list.view === "trash";
  if (name === "message.removed") isTrash ? list.reload() : list.remove(message?.media_id ?? id);
  else if (name === "message.restored" && isTrash) list.remove(message.media_id);
  else if (name === "message.transcribed" && !isTrash) list.put({ ...message, transcribed: true });
  else if (name.startsWith("message.") && !isTrash && message) list.put(message);
}

function updateBadge() {
  badge(inbox.boxes.reduce((sum, box) => sum + (box.folders?.new ?? 0), 0));
}

function setState(isLive) {
  const state = document.getElementById("state");
  if (state === null) return;
  state.textContent = isLive ? "" : text("offline");
  state.classList.toggle("offline", !isLive);
}
