/** The event stream of an account. It reconnects, and continues after the last event. */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;

export class LiveEvents {
  /**
   * Starts after `cursor`, a result of `positionOf`.
   *
   * @param {import("./api.js").Api} api
   * @param {{onEvent: (event: object) => void, onReset: () => void, onState: (live: boolean) => void}} listeners
   */
  constructor(api, cursor, listeners) {
    this._api = api;
    this._listeners = listeners;
    this._cursor = cursor;
    this._stopped = new AbortController();
    addEventListener("online", () => this._wake?.(), { signal: this._stopped.signal });
    this._run();
  }

  /** Returns the current position of the events. Read it before the lists that the events change. */
  static async positionOf(api) {
    return (await api.request("GET", `${api.account}/events`)).next_cursor;
  }

  stop() {
    this._stopped.abort();
    this._wake?.();
  }

  async _run() {
    let wait = FIRST_WAIT_MS;
    while (!this._stopped.signal.aborted) {
      try {
        const response = await this._open();
        this._listeners.onState(true);
        wait = FIRST_WAIT_MS;
        await this._read(response.body.getReader());
      } catch (error) {
        if (error.status === 401 || error.status === 403) break;
      }
      if (this._stopped.signal.aborted) break;
      this._listeners.onState(false);
      await new Promise((resolve) => {
        this._wake = resolve;
        setTimeout(resolve, wait * (0.5 + Math.random() / 2));
      });
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }

  _open() {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": this._cursor };
    return this._api.fetch("GET", `${this._api.account}/events`, {
      headers,
      signal: this._stopped.signal,
    });
  }

  async _read(reader) {
    const decoder = new TextDecoder();
    let buffer = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      buffer += decoder.decode(value, { stream: true });
      const blocks = buffer.split("\n\n");
      buffer = blocks.pop();
      blocks.forEach((block) => this._dispatch(block));
    }
  }

  _dispatch(block) {
    const fields = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
    }
    if (fields.id !== undefined) this._cursor = fields.id;
    if (fields.event === "reset") this._listeners.onReset();
    else if (fields.data !== undefined) this._listeners.onEvent(JSON.parse(fields.data));
  }
}
