"""Chromium, and the web inbox of a signed-in user in it."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    ViewportSize,
    expect,
)

from tests.support.audio_samples import PCM, a_wav, riff
from tests.support.running import AccountClient, data_of
from tests.support.waiting import DEADLINE_S

CHROMIUM = shutil.which("chromium")
_PASSWORD = "correct horse battery"

WAV = riff(PCM, 16, 8000, a_wav()[44:] * 10)
"""A recording of 10 seconds that browsers can play."""

MARKS = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="the browser `chromium` is not installed"),
]


@asynccontextmanager
async def checked_context(browser: Browser, **options: Any) -> AsyncIterator[BrowserContext]:
    """A context of the browser. Errors of scripts and of the policy in its pages fail the test."""
    context = await browser.new_context(**{"locale": "en", **options})
    context.set_default_timeout(DEADLINE_S * 1000)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.on("console", lambda line: errors.append(line.text) if _is_ours(line.text) else None)
    yield context
    await context.close()
    assert errors == []


def _is_ours(text: str) -> bool:
    """Returns True for errors of scripts and policies; a failed request is a case of a test."""
    return "Content Security Policy" in text or "Uncaught" in text


async def a_user(account: AccountClient, priv_level: str = "admin") -> str:
    """Creates a user; returns its name."""
    username = uuid4().hex
    user = {"username": username, "password": _PASSWORD, "priv_level": priv_level}
    data_of(await account.http.put(account.path("users"), json={"data": user}), 201)
    return username


async def sign_in(page: Page, account: AccountClient, username: str) -> None:
    """Signs in as a user of `a_user` on an open page."""
    await sign_in_as(page, account.realm, username, _PASSWORD)


async def sign_in_as(page: Page, account: str, username: str, password: str) -> None:
    """Fills in the form of an open page."""
    await page.get_by_label("Account").fill(account)
    await page.get_by_label("User name").fill(username)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


@asynccontextmanager
async def signed_in(
    browser: Browser,
    account: AccountClient,
    viewport: ViewportSize | None = None,
    priv_level: str = "admin",
    fragment: str = "",
    url: str = "",
    **options: Any,
) -> AsyncIterator[Page]:
    """A page of a new user. `url` is the address of another API process."""
    username = await a_user(account, priv_level)
    async with checked_context(browser, viewport=viewport, **options) as context:
        page = await context.new_page()
        await page.goto(f"{url or account.service.url}/inbox{fragment}")
        await sign_in(page, account, username)
        yield page


def row(page: Page, caller: str) -> Locator:
    return page.get_by_role("listitem").filter(has_text=caller)
