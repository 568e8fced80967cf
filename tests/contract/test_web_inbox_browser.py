"""The web inbox in a real browser, as a subscriber and an administrator use it."""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from tests.contract.clients.environments import NoIndex, node_folder
from tests.support.audio_samples import PCM, a_wav, riff
from tests.support.running import AccountClient, data_of
from tests.support.waiting import DEADLINE_S

_CHROMIUM = shutil.which("chromium")
_PASSWORD = "correct horse battery"
_WAV = riff(PCM, 16, 8000, a_wav()[44:] * 10)
_HOSTILE = "<img src=x onerror=alert(1)>\u202egpj"
_MANY = 120
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_SIZES = [(390, 844, "dark"), (820, 1100, "light"), (1440, 900, "dark")]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(_CHROMIUM is None, reason="the browser `chromium` is not installed"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    fake_microphone = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=_CHROMIUM, args=fake_microphone)
        yield chromium
        await chromium.close()


@asynccontextmanager
async def signed_in(
    browser: Browser,
    account: AccountClient,
    viewport: ViewportSize | None = None,
    priv_level: str = "admin",
    fragment: str = "",
    **options: Any,
) -> AsyncIterator[Page]:
    """A page of a new user. Errors of scripts and of the policy fail the test."""
    username = uuid4().hex
    user = {"username": username, "password": _PASSWORD, "priv_level": priv_level}
    data_of(await account.http.put(account.path("users"), json={"data": user}), 201)
    context = await browser.new_context(viewport=viewport, locale="en", **options)
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if _is_ours(line.text) else None)
    page.set_default_timeout(DEADLINE_S * 1000)
    expect.set_options(timeout=DEADLINE_S * 1000)
    await page.goto(f"{account.service.url}/inbox{fragment}")
    await page.get_by_label("Account").fill(account.realm)
    await page.get_by_label("User name").fill(username)
    await page.get_by_label("Password").fill(_PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    yield page
    await context.close()
    assert errors == []


def _is_ours(text: str) -> bool:
    """Returns True for errors of scripts and policies; a failed request is a case of a test."""
    return "Content Security Policy" in text or "Uncaught" in text


def row(page: Page, caller: str) -> Any:
    return page.get_by_role("listitem").filter(has_text=caller)


async def test_a_message_is_played_filed_removed_and_restored(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox(name="Front desk")
    await account.leave(vmbox_id, _WAV, "audio/wav", caller_id_name=_HOSTILE)
    await account.leave(vmbox_id, _WAV, "audio/wav", caller_id_name="Bob")
    async with signed_in(browser, account) as page:
        hostile = row(page, "<img src=x")
        await expect(hostile).to_contain_text("new")
        await expect(page).to_have_title("(2) Voicemail")
        assert await page.locator("img").count() == 0

        await hostile.get_by_role("button", expanded=False).click()
        await hostile.get_by_role("button", name="Play").click()
        await expect(hostile.get_by_role("button", name="Pause")).to_be_visible()
        position = hostile.get_by_role("slider")
        await position.press("ArrowRight")
        await expect(position).to_have_attribute("aria-valuetext", re.compile(r"^0:0[5-9] / 0:10"))

        await hostile.get_by_role("button", name="Save", exact=True).click()
        await expect(hostile).to_contain_text("saved")
        await expect(page).to_have_title("(1) Voicemail")
        assert await account.counts(vmbox_id) == {"new": 1, "saved": 1}

        await hostile.get_by_role("button", name="Delete", exact=True).click()
        await expect(hostile).to_have_count(0)
        await page.get_by_role("button", name="Undo").click()
        await expect(hostile).to_contain_text("saved")

        await page.get_by_label("Select all").check()
        await page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("No messages.")).to_be_visible()
        await page.get_by_role("button", name="Trash").click()
        await expect(page.get_by_role("listitem").filter(has_text="Bob")).to_be_visible()
        await page.get_by_label("Select all").check()
        await page.get_by_role("toolbar").get_by_role("button", name="Restore").click()
        await expect(page.get_by_text("The trash is empty.")).to_be_visible()
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 1}


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


async def test_a_long_list_is_read_while_it_is_scrolled(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    for number in range(_MANY):
        await account.leave(vmbox_id, caller_id_name=f"Caller {number:04}")
    async with signed_in(browser, account) as page:
        await expect(row(page, f"Caller {_MANY - 1:04}")).to_be_visible()
        assert await page.get_by_role("listitem").count() < _MANY + 1
        oldest = row(page, "Caller 0000")
        while await oldest.count() == 0:
            await page.mouse.wheel(0, 5000)
        await oldest.scroll_into_view_if_needed()
        callers = await page.locator(".caller").all_text_contents()
    rows = await account.listed(vmbox_id, page_size=_MANY)
    assert callers == [each["caller_id_name"] for each in rows]
    assert len(callers) == _MANY


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


async def test_settings_and_a_recorded_greeting_are_stored(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox(name="Front desk")
    async with signed_in(browser, account) as page:
        await page.get_by_role("button", name="Settings", exact=True).click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Name").fill("Reception")
        await dialog.get_by_label("PIN").fill("4711")
        await dialog.get_by_label("Time zone").fill("Europe/Berlin")
        await dialog.get_by_role("button", name="Record", exact=True).click()
        await dialog.get_by_role("button", name="Stop").click()
        await expect(dialog.locator("audio")).to_be_visible()
        await dialog.get_by_role("button", name="Save settings").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Reception")
    box = data_of(await account.http.get(account.path("vmboxes", vmbox_id)))
    assert (box["name"], box["pin"], box["timezone"]) == ("Reception", "4711", "Europe/Berlin")
    greeting = await account.http.get(account.path("media", box["media"]["unavailable"], "raw"))
    assert greeting.status_code == 200
    assert len(greeting.content) > 0


async def test_a_user_has_no_page_for_administrators(
    browser: Browser, account: AccountClient
) -> None:
    await account.a_vmbox()
    async with signed_in(browser, account, priv_level="user") as page:
        await expect(page.get_by_text("You have no mailbox.")).to_be_visible()
        await expect(page.get_by_role("button", name="Account settings")).to_have_count(0)


async def test_a_link_of_a_mail_opens_its_message(browser: Browser, account: AccountClient) -> None:
    await account.a_vmbox(name="Other")
    vmbox_id = await account.a_vmbox(name="Mine")
    media_id = await account.leave(vmbox_id, _WAV, "audio/wav", caller_id_name="Ann")
    fragment = f"#box={vmbox_id}&message={media_id}"
    async with signed_in(browser, account, fragment=fragment) as page:
        await expect(row(page, "Ann").get_by_role("button", name="Play")).to_be_visible()


async def test_a_recording_link_plays_only_its_recording(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, _WAV, "audio/wav")
    path = account.path("vmboxes", vmbox_id, "messages", media_id, "link")
    link = data_of(await account.http.post(path, json={"data": {}}))["url"]
    page = await browser.new_page(locale="en")
    await page.goto(f"{account.service.url}/inbox#recording={link.rpartition('/')[2]}")
    await page.get_by_role("button", name="Play").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()
    await page.close()


@pytest.mark.parametrize(("width", "height", "scheme"), _SIZES)
async def test_every_view_is_accessible_and_fits_the_screen(
    browser: Browser,
    account: AccountClient,
    pytestconfig: pytest.Config,
    width: int,
    height: int,
    scheme: Any,
) -> None:
    assert pytestconfig.cache is not None
    try:
        packages = await node_folder(pytestconfig.cache.mkdir("clients"))
    except NoIndex as reason:
        pytest.skip(f"the packages of npm are not installed: {reason}")
    axe = (packages / "node_modules" / "axe-core" / "axe.min.js").read_text()

    async def check(page: Page) -> None:
        await page.evaluate(axe)
        result = await page.evaluate(f"axe.run(document, {{runOnly: {_RULES}}})")
        problems = [(rule["id"], rule["nodes"][0]["html"]) for rule in result["violations"]]
        assert problems == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    vmbox_id = await account.a_vmbox(name="Front desk")
    for caller in ("Ann", "Bob"):
        await account.leave(vmbox_id, _WAV, "audio/wav", caller_id_name=caller)
    viewport = ViewportSize(width=width, height=height)
    async with signed_in(browser, account, viewport=viewport, color_scheme=scheme) as page:
        await row(page, "Bob").get_by_role("button", expanded=False).click()
        await page.get_by_label("Select the message of Ann").check()
        await check(page)
        await page.get_by_role("button", name="Settings", exact=True).click()
        await check(page)
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Account settings").click()
        for tab in ("Users", "Mailboxes", "API keys", "Webhooks", "Deliveries", "Audit"):
            await page.get_by_role("tab", name=tab).click()
            await expect(page.get_by_role("tab", name=tab, selected=True)).to_be_visible()
            await check(page)
