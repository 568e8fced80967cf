"""The browser of these tests."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.inbox.browser import CHROMIUM
from tests.support.waiting import DEADLINE_S


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    fake_microphone = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    expect.set_options(timeout=DEADLINE_S * 1000)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=fake_microphone)
        yield chromium
        await chromium.close()
