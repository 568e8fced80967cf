/** Requests to the public API of this server. */

export class ApiError extends Error {
  constructor(status, code, data, retryAfterS) {
    super(code);
    this.status = status;
    this.data = data;
    this.retryAfterS = retryAfterS;
  }

  /** The texts of the broken rules, or the text of the cause; empty if the server sent none. */
  get details() {
    const rules = Object.values(this.data ?? {}).flatMap((field) =>
      typeof field === "object" && field !== null ? Object.values(field) : [],
    );
    const texts = rules.map((rule) => rule?.message).filter((text) => typeof text === "string");
    return texts.join(" ") || (typeof this.data?.message === "string" ? this.data.message : "");
  }
}

/** Status of an error without a response: the server was not reached. */
export const UNREACHED = 0;

// A browser reads a saved file in the background.
const KEPT_MS = 60_000;
const PAGE = 1000;
const MAX_ROWS = 10_000;

export class Api {
  /** `onExpired` is called when the server no longer accepts the token. */
  constructor(onExpired) {
    this.session = null;
    this.onExpired = onExpired;
  }

  get account() {
    return `/v2/accounts/${this.session.accountId}`;
  }

  /**
   * Returns the envelope of the response. Throws ApiError.
   *
   * `data` is sent in an envelope; `body` is sent as it is, with its own type.
   */
  async request(method, path, { data, body, query, headers, signal } = {}) {
    const response = await this.fetch(method, path, { data, body, query, headers, signal });
    return response.json();
  }

  /** Returns the successful response. Throws ApiError. */
  async fetch(method, path, { data, body, query, headers, signal } = {}) {
    const parameters = new URLSearchParams(
      Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null),
    );
    const url = parameters.size > 0 ? `${path}?${parameters}` : path;
    const token = this.session?.token;
    const init = { method, signal, cache: "no-store", headers: { ...headers } };
    if (token) init.headers["X-Auth-Token"] = token;
    if (data !== undefined) {
      init.headers["Content-Type"] = "application/json";
      init.body = JSON.stringify({ data });
    } else if (body !== undefined) {
      init.body = body;
    }
    let response;
    try {
      response = await fetch(url, init);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(UNREACHED, "unreached");
    }
    if (response.ok) return response;
    const failure = await response.json().catch(() => ({}));
    const wait = Number(response.headers.get("Retry-After"));
    if (response.status === 401 && token && token === this.session?.token) this.onExpired();
    throw new ApiError(response.status, failure.message ?? "", failure.data, wait);
  }

  /** Saves a ZIP archive as a file of the browser. Throws ApiError. */
  async download(path, name, { method = "GET", data } = {}) {
    const response = await this.fetch(method, path, { data, headers: { Accept: "application/zip" } });
    const url = URL.createObjectURL(await response.blob());
    const link = document.createElement("a");
    Object.assign(link, { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
  }

  /** Returns the rows of a list, at most MAX_ROWS. */
  async rows(path) {
    const rows = [];
    let start;
    do {
      const page = await this.request("GET", path, { query: { page_size: PAGE, start_key: start } });
      rows.push(...page.data);
      start = page.next_start_key;
    } while (start && rows.length < MAX_ROWS);
    return rows;
  }
}
