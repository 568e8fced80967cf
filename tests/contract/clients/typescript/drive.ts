// Does the tour of the README with openapi-fetch, typed by openapi-typescript. Prints what it got.
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

const given: { url: string; token: string; account_id: string; audio: string } = JSON.parse(
  process.argv[2] ?? "",
);
const client = createClient<paths>({ baseUrl: given.url, headers: { "X-Auth-Token": given.token } });
const account = { account_id: given.account_id };
const audio = readFileSync(given.audio);

function got<Data>(answer: { data?: Data; error?: unknown }): Data {
  if (answer.data === undefined) {
    throw new Error(JSON.stringify(answer.error));
  }
  return answer.data;
}

async function page(since?: string) {
  const path = "/v2/accounts/{account_id}/events";
  const answer = got(await client.GET(path, { params: { path: account, query: { since } } }));
  if (typeof answer === "string") {
    throw new Error("a page was expected, not a stream");
  }
  return answer;
}

const start = (await page()).next_cursor;

const created = got(
  await client.PUT("/v2/accounts/{account_id}/vmboxes", {
    params: { path: account },
    body: { data: { name: "Front desk", mailbox: "3000" } },
  }),
);
const box = { ...account, vmbox_id: created.data.id };

const stored = got(
  await client.PUT("/v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages", {
    params: { path: box },
    body: {
      metadata: { data: { caller_id_name: "Ann", caller_id_number: "+14155550123" } },
      audio: audio.toString("base64"),
    },
    bodySerializer() {
      const form = new FormData();
      const data = { caller_id_name: "Ann", caller_id_number: "+14155550123" };
      form.append("metadata", new Blob([JSON.stringify({ data })], { type: "application/json" }));
      form.append("audio", new Blob([audio], { type: "audio/mpeg" }), "tone.mp3");
      return form;
    },
  }),
);
const message = { ...box, message_id: stored.data.media_id };

const boxes = got(
  await client.GET("/v2/accounts/{account_id}/vmboxes", {
    params: { path: account, query: { filter_mailbox: "3000", filter_name: "Front desk" } },
  }),
);
const others = got(
  await client.GET("/v2/accounts/{account_id}/vmboxes", {
    params: { path: account, query: { filter_mailbox: "3001" } },
  }),
);
const listed = got(
  await client.GET("/v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages", {
    params: { path: box, query: { page_size: 10 } },
  }),
);

const raw = "/v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id}/raw";
const whole = await client.GET(raw, { params: { path: message }, parseAs: "arrayBuffer" });
const part = await client.GET(raw, {
  params: { path: message, header: { Range: "bytes=0-99" } },
  parseAs: "arrayBuffer",
});

const one = "/v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id}";
const saved = got(
  await client.POST(one, { params: { path: message }, body: { data: { folder: "saved" } } }),
);
const removed = got(await client.DELETE(one, { params: { path: message } }));
const gone = await client.GET(raw, { params: { path: { ...message, vmbox_id: "0".repeat(32) } } });
const bad = await client.PUT("/v2/accounts/{account_id}/vmboxes", {
  params: { path: account },
  body: { data: { name: "Again", mailbox: "3000" } },
});
const events = (await page(start)).data;

console.log(
  JSON.stringify({
    box: created.data.name,
    boxes: boxes.data.map((row) => row.mailbox),
    others: others.data.length,
    listed: listed.data.map((row) => row.caller_id_name),
    is_identical: audio.equals(Buffer.from(got(whole))),
    part: [part.response.status, got(part).byteLength],
    saved: "folder" in saved.data ? saved.data.folder : null,
    removed: removed.data.folder,
    gone: [gone.error?.error, gone.error?.message],
    bad: [bad.error?.error, Object.keys(bad.error?.data ?? {})],
    events: events.map((event) => event.type),
  }),
);
