/** The form to sign in. Emits `signed-in` with the session. */

import { create, field } from "../elements.js";
import { canSignIn, signIn } from "../session.js";
import { text } from "../texts.js";
import { textOf } from "../toast.js";

const ACCOUNT_KEY = "aftertone.account";

export class SignIn extends HTMLElement {
  /** `reason` is a text above the form, such as that of an expired session. */
  show(api, reason = "") {
    const account = create("input", { name: "account", required: true, autocomplete: "organization", value: localStorage.getItem(ACCOUNT_KEY) ?? "" });
    const username = create("input", { name: "username", required: true, autocomplete: "username" });
    const password = create("input", { name: "password", type: "password", required: true, autocomplete: "current-password" });
    const submit = create("button", { type: "submit", class: "primary" }, text("sign_in"));
    const problem = create("p", { class: "failure", role: "alert" }, reason);
    const form = create("form", { class: "card", onsubmit: (event) => (event.preventDefault(), send()) },
      create("h1", {}, text("title")), problem,
      field(text("account"), account, text("account_hint")), field(text("username"), username), field(text("password"), password), submit);
    this.replaceChildren(form);
    (account.value ? username : account).focus();
    if (!canSignIn()) problem.textContent = text("needs_https");

    const send = async () => {
      submit.disabled = true;
      problem.textContent = "";
      try {
        const session = await signIn(api, account.value.trim(), username.value, password.value);
        localStorage.setItem(ACCOUNT_KEY, account.value.trim());
        this.dispatchEvent(new CustomEvent("signed-in", { detail: session }));
      } catch (error) {
        problem.textContent = error.status === 401 ? text("wrong_credentials") : textOf(error);
        password.select();
      } finally {
        submit.disabled = false;
      }
    };
  }
}

customElements.define("sign-in", SignIn);
