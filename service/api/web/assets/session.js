/** The signed-in caller. The token is kept in memory and in `sessionStorage`, so it ends with the tab. */

const KEY = "aftertone.session";

export class Session {
  /** @param {{token: string, accountId: string, accountName: string, ownerId: string}} fields */
  constructor(fields) {
    Object.assign(this, fields);
  }

  static restore() {
    try {
      const stored = sessionStorage.getItem(KEY);
      return stored === null ? null : new Session(JSON.parse(stored));
    } catch {
      return null;
    }
  }

  save() {
    sessionStorage.setItem(KEY, JSON.stringify({ ...this }));
  }

  static forget() {
    sessionStorage.removeItem(KEY);
  }
}

/** Signs in with `PUT /v2/user_auth`. `account` is the name or the realm of the account. */
export async function signIn(api, account, username, password) {
  const credentials = await sha1(`${username}:${password}`);
  const isRealm = /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(account);
  const data = { credentials, method: "sha", [isRealm ? "realm" : "account_name"]: account };
  const envelope = await api.request("PUT", "/v2/user_auth", { data });
  return new Session({
    token: envelope.auth_token,
    accountId: envelope.data.account_id,
    accountName: envelope.data.account_name,
    ownerId: envelope.data.owner_id,
  });
}

/** Browsers have no `crypto.subtle` on pages without HTTPS, except on this machine. */
export const canSignIn = () => globalThis.crypto?.subtle !== undefined;

async function sha1(text) {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
