"""The web inbox in a real browser, as a subscriber and an administrator use it."""

import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.contract.clients.environments import NoIndex, node_folder
from tests.contract.test_mail_links import a_mail
from tests.inbox.browser import MARKS, WAV, checked_context, row, signed_in
from tests.support.running import AccountClient, data_of

_HOSTILE = "<img src=x onerror=alert(1)>\u202egpj"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_SIZES = [(390, 844, "dark"), (820, 1100, "light"), (1440, 900, "dark")]

pytestmark = MARKS


async def test_a_message_is_played_filed_removed_and_restored(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox(name="Front desk")
    await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name=_HOSTILE)
    await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name="Bob")
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


async def test_a_message_is_forwarded_with_a_recorded_comment(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox(name="Front desk")
    sales, _ = await account.a_vmbox(name="Sales"), await account.a_vmbox(name="Workshop")
    await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name="Ann")
    async with signed_in(browser, account, fragment=f"#box={vmbox_id}") as page:
        await page.get_by_role("button", name="Settings", exact=True).click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Allow spoken comments").check()
        await dialog.get_by_role("button", name="Save settings").click()
        await expect(page.get_by_text("The settings are saved.")).to_be_visible()

        await row(page, "Ann").get_by_role("button", expanded=False).click()
        await row(page, "Ann").get_by_role("button", name="Forward").click()
        await dialog.get_by_role("button", name="Forward").click()
        await expect(dialog.get_by_text("Choose at least one mailbox.")).to_be_visible()
        await dialog.get_by_label("Sales").check()
        await dialog.get_by_role("button", name="Record", exact=True).click()
        recorded = dialog.locator("audio")
        await dialog.get_by_role("button", name="Stop").click()
        await expect(recorded).to_be_visible()
        await dialog.get_by_role("button", name="Forward").click()
        await expect(page.get_by_text("Forwarded to 1 mailboxes.")).to_be_visible()
        await page.get_by_role("navigation").get_by_role("button", name="Sales").click()
        await expect(row(page, "Ann")).to_be_visible()
    [forwarded] = await account.listed(sales)
    assert forwarded["length"] > 10_000


async def test_a_user_has_no_page_for_administrators(
    browser: Browser, account: AccountClient
) -> None:
    await account.a_vmbox()
    async with signed_in(browser, account, priv_level="user") as page:
        await expect(page.get_by_text("You have no mailbox.")).to_be_visible()
        await expect(page.get_by_role("button", name="Account settings")).to_have_count(0)


async def test_a_link_of_a_mail_plays_only_its_message_without_sign_in(
    browser: Browser, account: AccountClient
) -> None:
    mail = await a_mail(account, WAV, "audio/wav")
    async with checked_context(browser) as context:
        page = await context.new_page()
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        token = mail.token()
        await page.goto(f"{account.service.url}/inbox#mail={token}")
        await expect(page.get_by_role("heading", name="Bob")).to_be_visible()
        await page.get_by_role("button", name="Play").click()
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        assert not [url for url in requested if token in url.partition("#")[0]]
        assert await page.evaluate("sessionStorage.length") == 0
        await page.get_by_role("link", name="Open the inbox").click()
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()

        await mail.change_box(notify_email_addresses=[])
        await page.goto(f"{account.service.url}/inbox#mail={token}")
        await expect(page.get_by_text("This link has ended.")).to_be_visible()


async def test_a_link_of_a_mail_opens_its_message_after_sign_in(
    browser: Browser, account: AccountClient
) -> None:
    await account.a_vmbox(name="Other")
    vmbox_id = await account.a_vmbox(name="Mine")
    media_id = await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name="Ann")
    fragment = f"#box={vmbox_id}&message={media_id}"
    async with signed_in(browser, account, fragment=fragment) as page:
        await expect(row(page, "Ann").get_by_role("button", name="Play")).to_be_visible()


async def test_a_recording_link_plays_only_its_recording(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, WAV, "audio/wav")
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
        await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name=caller)
    viewport = ViewportSize(width=width, height=height)
    async with signed_in(browser, account, viewport=viewport, color_scheme=scheme) as page:
        await row(page, "Bob").get_by_role("button", expanded=False).click()
        await page.get_by_label("Select the message of Ann").check()
        await check(page)
        await page.get_by_role("button", name="Settings", exact=True).click()
        await check(page)
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Account settings").click()
        await expect(page.get_by_role("tab", name="Users", selected=True)).to_be_visible()
        for tab in await page.get_by_role("tab").all():
            await tab.click()
            await expect(tab).to_have_attribute("aria-selected", "true")
            await expect(page.get_by_text("Loading …")).to_have_count(0)
            await check(page)
        await page.get_by_role("tab", name="Legal holds").click()
        await page.get_by_role("button", name="Add").click()
        await check(page)
