"""Views of the web inbox as pictures, on a phone, a tablet and a desktop, in light and dark.

The two pictures of the README are made here. To renew a picture, delete it and run the test.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, expect

from service.api import web
from service.wiring.dev import prepare_dev_for_people
from tests.inbox.browser import MARKS, checked_context, row, sign_in_as
from tests.inbox.pictures import FOLDER, problem_of, skip_with_other_fonts
from tests.support.running import RunningService
from tests.support.waiting import wait_until

pytestmark = MARKS

_SIZES = {390: 844, 820: 1100, 1440: 900}
_SCHEMES = ("light", "dark")
_README = Path(web.__file__).parent / "pictures"
_IN_README = {
    "inbox-1440-light": _README / "inbox.png",
    "inbox-390-dark": _README / "inbox-phone.png",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def demo(service: RunningService) -> Mapping[str, str]:
    """The account of `make demo`, with the sign-in of its user."""
    environment = service.servers.environment()
    return await prepare_dev_for_people(service.folder, environment, demo=True)


class Album:
    """Pictures of one size and scheme. Their screenshots are kept in `folder` for a person."""

    def __init__(self, page: Page, name: str, folder: Path) -> None:
        self.page, self.name, self.folder = page, name, folder
        self.problems: list[str] = []

    async def compare(self, view: str) -> None:
        name = f"{view}-{self.name}"
        reference = _IN_README.get(name, FOLDER / f"{name}.png")
        picture = await self.page.screenshot(
            animations="disabled", caret="hide", path=self.folder / f"{name}.png"
        )
        problem = problem_of(picture, reference, is_full_size=name in _IN_README)
        self.problems += [] if problem is None else [problem]


async def _show_message(page: Page) -> None:
    """Opens the newest message, and plays to its fourth second."""
    message = row(page, "Maria Lindqvist")
    await message.get_by_role("button", expanded=False).click()
    await expect(message.get_by_text("Your delivery of twelve boxes")).to_have_count(2)
    await wait_until(
        lambda: page.evaluate("document.querySelector('message-player')._levels !== null")
    )
    await message.get_by_role("slider").evaluate(
        "slider => { slider.value = 4; slider.dispatchEvent(new Event('input')) }"
    )
    await expect(message.get_by_role("slider")).to_have_attribute("aria-valuetext", "0:04 / 0:11")
    await page.mouse.move(0, 0)
    await page.evaluate("document.activeElement.blur()")


@pytest.mark.parametrize("scheme", _SCHEMES)
@pytest.mark.parametrize("width", _SIZES)
async def test_every_view_looks_as_in_its_picture(
    browser: Browser,
    service: RunningService,
    demo: Mapping[str, str],
    tmp_path: Path,
    width: int,
    scheme: Any,
) -> None:
    skip_with_other_fonts()
    viewport = ViewportSize(width=width, height=_SIZES[width])
    async with checked_context(browser, viewport=viewport, color_scheme=scheme) as context:
        page = await context.new_page()
        album = Album(page, f"{width}-{scheme}", tmp_path)
        await page.goto(f"{service.url}/inbox")
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        await album.compare("sign-in")
        await sign_in_as(
            page,
            demo["AFTERTONE_ACCOUNT"],
            demo["AFTERTONE_USERNAME"],
            demo["AFTERTONE_PASSWORD"],
        )
        await _show_message(page)
        await album.compare("inbox")
        await page.get_by_role("button", name="Settings", exact=True).click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await album.compare("settings")
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Account settings").click()
        await page.get_by_role("tab", name="Mailboxes", exact=True).click()
        await expect(page.get_by_role("cell", name="Workshop")).to_be_visible()
        await album.compare("account")
    assert album.problems == []
