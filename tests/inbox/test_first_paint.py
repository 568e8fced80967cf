"""Size and stability of the first views: bytes, layout shifts, violations of the policy."""

from typing import Any

from playwright.async_api import Browser, Page, Response, expect

from tests.inbox.browser import MARKS, WAV, a_user, checked_context, row, sign_in
from tests.support.running import AccountClient

pytestmark = MARKS

MAX_BYTES = 100_000
# A shift below 0.1 is good by the Web Vitals; a page of fixed parts has next to none.
MAX_SHIFT = 0.01
_OBSERVER = """
window.shifts = []; window.violations = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  const parts = entry.sources.map(({node}) => node?.outerHTML?.slice(0, 80));
  if (!entry.hadRecentInput) window.shifts.push([entry.value, ...parts]);
})).observe({type: "layout-shift", buffered: true});
addEventListener("securitypolicyviolation", (event) => window.violations.push(event.blockedURI));
"""


async def _check(page: Page) -> None:
    assert await page.evaluate("violations") == []
    shifts: list[list[Any]] = await page.evaluate("shifts")
    assert sum(shift[0] for shift in shifts) < MAX_SHIFT, shifts


async def test_the_first_views_are_small_and_do_not_shift(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox(name="Front desk")
    for number in range(20):
        await account.leave(vmbox_id, WAV, "audio/wav", caller_id_name=f"Caller {number:02}")
    username = await a_user(account)
    async with checked_context(browser) as context:
        await context.add_init_script(_OBSERVER)
        page = await context.new_page()
        responses: list[Response] = []
        page.on("response", lambda response: responses.append(response))
        await page.goto(f"{account.service.url}/inbox")
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        sizes = [await response.request.sizes() for response in responses]
        total = sum(each["responseBodySize"] + each["responseHeadersSize"] for each in sizes)
        assert 0 < total < MAX_BYTES
        await _check(page)
        await sign_in(page, account, username)
        await expect(row(page, "Caller 19")).to_be_visible()
        await page.reload()
        await expect(row(page, "Caller 19")).to_be_visible()
        await page.evaluate("new Promise(requestAnimationFrame)")
        await _check(page)
