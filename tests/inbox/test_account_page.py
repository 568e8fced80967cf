"""The page for administrators of the web inbox in a real browser."""

import asyncpg
from playwright.async_api import Browser, Page, expect

from tests.contract.test_deliveries import add_dead
from tests.inbox.browser import MARKS, WAV, row, signed_in
from tests.support.running import AccountClient, data_of

pytestmark = MARKS


async def _open_tab(page: Page, name: str) -> None:
    await page.get_by_role("button", name="Account settings").click()
    await page.get_by_role("tab", name=name, exact=True).click()
    await expect(page.get_by_role("tab", name=name, exact=True, selected=True)).to_be_visible()


async def test_a_hold_is_placed_marks_its_messages_and_is_released(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox(name="Front desk")
    held = {"caller_id_name": "Ann", "caller_id_number": "+49 89 1234567"}
    media_id = await account.leave(vmbox_id, WAV, "audio/wav", **held)
    await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name="Bob")
    async with signed_in(browser, account) as page:
        await _open_tab(page, "Legal holds")
        await page.get_by_role("button", name="Add").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Name").fill("Case 4711")
        await dialog.get_by_label("Reason").fill("Court order")
        await dialog.get_by_label("Number of the caller").fill("0049-89-1234567")
        await dialog.get_by_label("Front desk").check()
        await dialog.get_by_role("button", name="Add").click()
        table = page.get_by_role("tabpanel").get_by_role("table")
        await expect(table).to_contain_text("Case 4711")
        await expect(table).to_contain_text("Front desk")
        async with page.expect_download() as download:
            await table.get_by_role("button", name="Export").click()
        assert (await download.value).suggested_filename == "Case 4711.zip"

        await page.get_by_role("navigation").get_by_role("button", name="Front desk").click()
        await expect(row(page, "Ann")).to_contain_text("held")
        await expect(row(page, "Bob")).not_to_contain_text("held")
        late = account.leave(vmbox_id, caller_id_name="Late", caller_id_number="+49891234567")
        await late
        await expect(row(page, "Late")).to_contain_text("held")

        await _open_tab(page, "Legal holds")
        await table.get_by_role("button", name="Release").click()
        await dialog.get_by_role("button", name="Release").click()
        await expect(page.get_by_role("tabpanel")).to_contain_text("Nothing here.")
        await page.get_by_role("navigation").get_by_role("button", name="Front desk").click()
        await expect(row(page, "Ann")).not_to_contain_text("held")
    path = account.path("vmboxes", vmbox_id, "holds")
    assert data_of(await account.http.post(path, json={"data": {"messages": [media_id]}})) == {
        "held": []
    }


async def test_failed_deliveries_are_retried(browser: Browser, account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    for name in ("ann", "bob", "eve"):
        await add_dead(account, "email", f"{name}@example.com", vmbox_id)
    async with signed_in(browser, account) as page:
        await _open_tab(page, "Failed deliveries")
        ann = page.get_by_role("row").filter(has_text="ann@example.com")
        await expect(ann).to_contain_text("no route to 10.0.0.7")
        await ann.get_by_role("button", name="Retry").click()
        await expect(page.get_by_text("1 deliveries will be retried.")).to_be_visible()
        await expect(ann).to_have_count(0)
        await page.get_by_role("button", name="Retry all").click()
        await expect(page.get_by_text("2 deliveries will be retried.")).to_be_visible()
        await expect(page.get_by_role("tabpanel")).to_contain_text("Nothing here.")
    owner = await asyncpg.connect(account.service.servers.postgres.url())
    statuses = "SELECT array_agg(DISTINCT status) FROM deliveries WHERE account_id = $1::uuid"
    assert await owner.fetchval(statuses, account.account_id) == ["pending"]
    await owner.close()


async def test_a_deleted_box_is_restored(browser: Browser, account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(name="Front desk")
    await account.a_vmbox(name="Other")
    await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name="Ann")
    data_of(await account.http.delete(account.path("vmboxes", vmbox_id)))
    async with signed_in(browser, account) as page:
        await _open_tab(page, "Deleted mailboxes")
        deleted = page.get_by_role("row").filter(has_text="Front desk")
        await deleted.get_by_role("button", name="Restore").click()
        await expect(page.get_by_text("Front desk is restored.")).to_be_visible()
        await page.get_by_role("navigation").get_by_role("button", name="Front desk").click()
        await expect(row(page, "Ann")).to_be_visible()


async def test_a_long_table_is_read_page_by_page(browser: Browser, account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    for number in range(51):
        await add_dead(account, "email", f"{number}@example.com", vmbox_id)
    async with signed_in(browser, account) as page:
        await _open_tab(page, "Failed deliveries")
        rows = page.get_by_role("tabpanel").locator("tbody tr")
        await expect(rows).to_have_count(50)
        await page.get_by_role("button", name="More").click()
        await expect(rows).to_have_count(51)
        await expect(page.get_by_role("button", name="More")).to_be_hidden()
