"""The list of the web inbox while messages come and go, the network fails, or the session ends."""

import json
from uuid import UUID

import asyncpg
from playwright.async_api import Browser, ViewportSize, expect

from tests.contract.test_transcriptions import transcribe
from tests.inbox.browser import MARKS, WAV, a_user, checked_context, row, sign_in, signed_in
from tests.support.running import AccountClient, data_of
from tests.support.waiting import wait_until

pytestmark = MARKS

_MANY = 5_000
_PAGE = 50
_MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
_BIDI = "\u202eevil\u2066"
_LONG = "x" * 10_000

# Copies the message of an account; the copies are older, and share its audio.
_COPY = """
INSERT INTO messages (
    account_id, month, id, vmbox_id, folder, counted, received_at, length_ms, caller_id_number,
    caller_id_name, call_id, from_uri, to_uri, audio_key, audio_type, audio_size, audio_sha256
)
SELECT account_id, month, gen_random_uuid(), vmbox_id, folder, counted,
    received_at - make_interval(secs => number), length_ms, caller_id_number,
    'Caller ' || lpad(number::text, 4, '0'), call_id, from_uri, to_uri, audio_key, audio_type,
    audio_size, audio_sha256
FROM messages, generate_series(1, $2::integer) AS number
WHERE account_id = $1
"""


async def test_changes_elsewhere_arrive_live_also_after_a_lost_connection(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox(name="Front desk")
    async with signed_in(browser, account) as page:
        await expect(page.get_by_text("No messages.")).to_be_visible()
        first = await account.leave(vmbox_id, caller_id_name="Ann")
        await expect(row(page, "Ann")).to_be_visible()
        await page.context.set_offline(True)
        await expect(page.get_by_text("Offline. Reconnecting …")).to_be_visible()
        await account.leave(vmbox_id, caller_id_name="Bob")
        path = account.path("vmboxes", vmbox_id, "messages", first)
        data_of(await account.http.delete(path))
        await page.context.set_offline(False)
        await expect(row(page, "Bob")).to_be_visible()
        await expect(row(page, "Ann")).to_have_count(0)
        await expect(page).to_have_title("(1) Voicemail")


async def test_a_revoked_session_asks_to_sign_in_again(
    browser: Browser, account: AccountClient
) -> None:
    await account.a_vmbox()
    async with signed_in(browser, account) as page:
        token = await page.evaluate("JSON.parse(sessionStorage['aftertone.session']).token")
        async with account.service.client(token) as caller:
            data_of(await caller.delete("token_auth"))
        await expect(page.get_by_text("The session has expired. Sign in again.")).to_be_visible()
        assert await page.evaluate("sessionStorage.length") == 0


async def test_signing_out_revokes_the_token(browser: Browser, account: AccountClient) -> None:
    await account.a_vmbox()
    async with signed_in(browser, account) as page:
        token = await page.evaluate("JSON.parse(sessionStorage['aftertone.session']).token")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        async with account.service.client(token) as caller:
            answer = await caller.get(account.path("vmboxes"))
    assert answer.status_code == 401


async def test_a_list_of_5000_messages_is_read_while_it_is_scrolled(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    await account.leave(vmbox_id, caller_id_name="Newest")
    owner = await asyncpg.connect(account.service.servers.postgres.url())
    await owner.execute(_COPY, UUID(account.account_id), _MANY)
    await owner.close()
    async with signed_in(browser, account) as page:
        # By class, because to find thousands of roles takes long.
        rows = page.locator(".caller")
        await expect(row(page, "Newest")).to_be_visible()
        shown = _PAGE

        async def shows_more() -> bool:
            # Rows get their height when they become visible, so the end can move away again.
            await page.evaluate("scrollTo(0, document.body.scrollHeight)")
            return await rows.count() > shown

        while shown <= _MANY:
            await wait_until(shows_more)
            shown = await rows.count()
        callers = await rows.all_text_contents()
        late = await account.leave(vmbox_id, caller_id_name="Late")
        await expect(rows.first).to_have_text("Late")
        data_of(await account.http.delete(account.path("vmboxes", vmbox_id, "messages", late)))
        await expect(rows.first).to_have_text("Newest")
    assert callers == ["Newest", *(f"Caller {number:04}" for number in range(1, _MANY + 1))]


async def test_two_tabs_show_the_same_state_and_have_sessions_of_their_own(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox(name="Front desk")
    for name in ("Ann", "Bob"):
        await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name=name)
    username = await a_user(account)
    async with checked_context(browser) as context:
        first, second = await context.new_page(), await context.new_page()
        for page in (first, second):
            await page.goto(f"{account.service.url}/inbox")
            await sign_in(page, account, username)
            await expect(row(page, "Ann")).to_be_visible()
        await row(first, "Ann").get_by_role("button", expanded=False).click()
        await row(first, "Ann").get_by_role("button", name="Delete").click()
        await expect(row(second, "Ann")).to_have_count(0)
        await first.get_by_role("button", name="Undo").click()
        await expect(row(second, "Ann")).to_be_visible()
        await second.get_by_label("Select all").check()
        await second.get_by_role("toolbar").get_by_role("button", name="Save").click()
        await expect(first).to_have_title("Voicemail")
        await expect(row(first, "Bob")).to_contain_text("saved")
        await first.get_by_role("button", name="Sign out").click()
        await expect(first.get_by_role("button", name="Sign in")).to_be_visible()
        await account.leave(vmbox_id, caller_id_name="Late")
        await expect(row(second, "Late")).to_be_visible()


async def test_hostile_names_and_transcriptions_are_shown_as_text(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox(name=f"{_MARKUP[:60]}{_BIDI}")
    for name in (_MARKUP, f"{_BIDI} Bob", _LONG):
        media_id = await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name=name)
        said = {"result": "success", "text": f"{_MARKUP} {_BIDI} {_LONG}"}
        await transcribe(account, media_id, json.dumps(said))
    async with signed_in(browser, account, viewport=ViewportSize(width=390, height=844)) as page:
        items = page.get_by_role("main").get_by_role("listitem")
        await expect(items).to_have_count(3)
        await expect(items.filter(has_text=_MARKUP[:20])).to_have_count(3)
        for item in await items.all():
            await item.get_by_role("button", expanded=False).click()
            await expect(item.locator("blockquote")).to_contain_text(f"{_MARKUP} {_BIDI}")
        await expect(page.get_by_role("heading", level=1)).to_contain_text(_MARKUP[:60])
        assert await page.locator("img, main script").count() == 0
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        isolated = "e => [...e].every((each) => getComputedStyle(each).unicodeBidi === 'isolate')"
        names = page.locator(".caller, .excerpt, blockquote, h1, .name")
        assert await names.evaluate_all(isolated)
