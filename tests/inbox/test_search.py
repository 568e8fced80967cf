"""Search in the web inbox, transcriptions that play, and audio that needs conversion or S3."""

import struct

from playwright.async_api import Browser, Page, expect

from tests.contract.test_transcriptions import transcribe
from tests.inbox.browser import MARKS, WAV, row, signed_in
from tests.support.running import AccountClient
from tests.support.waiting import wait_until

pytestmark = MARKS

# Mu-law of 10 seconds of silence in a Sun AU file, which browsers cannot play.
_AU = b".snd" + struct.pack(">5I", 24, 80_000, 1, 8000, 1) + b"\xff" * 80_000


async def _search(page: Page, query: str) -> None:
    box = page.get_by_role("searchbox")
    await box.fill(query)
    await box.press("Enter")


async def test_words_are_found_in_all_boxes_and_a_matched_word_plays(
    browser: Browser, account: AccountClient
) -> None:
    front = await account.a_vmbox(name="Front desk")
    sales = await account.a_vmbox(name="Sales")
    spoken = await account.leave(front, WAV, "audio/wav", caller_id_name="Ann")
    await transcribe(account, spoken, '{"result": "success", "text": "Call me <b>now</b>"}')
    await account.leave(sales, WAV, "audio/wav", caller_id_name="Old me")
    await account.leave(sales, WAV, "audio/wav", caller_id_name="Bob")
    async with signed_in(browser, account) as page:
        await _search(page, "me")
        await expect(page.get_by_role("heading", name="Results for me")).to_be_focused()
        ann, old = row(page, "Ann"), row(page, "Old me")
        await expect(ann.locator("mark")).to_have_text("me")
        await expect(ann).to_contain_text("Front desk")
        await expect(ann).to_contain_text("Call me <b>now</b>")
        await expect(old.locator("mark")).to_have_text("me")
        await expect(row(page, "Bob")).to_have_count(0)

        await ann.get_by_role("button", expanded=False).click()
        await ann.get_by_role("button", name="me", exact=True).click()
        await expect(ann.get_by_role("button", name="Pause")).to_be_visible()
        await page.get_by_label("Select all").check()
        await page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("Nothing was found.")).to_be_visible()
        assert await account.counts(front) == {"new": 0, "saved": 0}
        await page.get_by_role("button", name="Undo").click()
        await _search(page, "nobody")
        await expect(page.get_by_text("Nothing was found.")).to_be_visible()
        await _search(page, "")
        await expect(page.get_by_role("button", name="Trash")).to_be_visible()
    assert await account.counts(front) == {"new": 1, "saved": 0}
    assert await account.counts(sales) == {"new": 2, "saved": 0}


async def test_a_format_that_browsers_cannot_play_is_converted(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    await account.leave(vmbox_id, _AU, "audio/basic", caller_id_name="Ann")
    async with signed_in(browser, account) as page:
        ann = row(page, "Ann")
        await ann.get_by_role("button", expanded=False).click()
        await ann.get_by_role("button", name="Play").click()
        await expect(ann.get_by_role("button", name="Pause")).to_be_visible()
        await expect(ann.get_by_text("cannot be played")).to_be_hidden()


async def test_audio_is_loaded_from_the_audio_store_if_clients_can_reach_it(
    browser: Browser, account: AccountClient
) -> None:
    endpoint = account.service.environment["AFTERTONE_S3_ENDPOINT"]
    store = endpoint.replace("127.0.0.1", "localhost")
    vmbox_id = await account.a_vmbox()
    await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name="Ann")
    api = await account.service.another_api(AFTERTONE_S3_PUBLIC_ENDPOINT=store)
    try:
        async with signed_in(browser, account, url=api.url) as page:
            loaded: list[str] = []
            page.on("response", lambda response: loaded.append(response.url))
            ann = row(page, "Ann")
            await ann.get_by_role("button", expanded=False).click()
            await ann.get_by_role("button", name="Play").click()
            await expect(ann.get_by_role("button", name="Pause")).to_be_visible()
            await wait_until(lambda: any(url.startswith(f"{store}/") for url in loaded))
            policy = (await account.http.get(f"{api.url}/inbox")).headers["content-security-policy"]
            assert f"connect-src 'self' {store};" in policy
            assert f"media-src 'self' {store} blob:;" in policy
    finally:
        await api.stop()
