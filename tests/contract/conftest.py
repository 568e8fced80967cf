"""Fixtures of the contract tests."""

from collections.abc import AsyncIterator

import httpx
import pytest_asyncio

from tests.contract.mailboxes import mailbox_client
from tests.support.running import AccountClient


@pytest_asyncio.fixture(loop_scope="session")
async def voip(account: AccountClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client that speaks the mailbox dialect with the account's token."""
    async with mailbox_client(account.service, x_auth_token=account.token) as client:
        yield client
