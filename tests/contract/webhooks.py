"""Webhooks of an account over HTTP."""

from typing import Any

import httpx

from tests.contract.wire import problems
from tests.support.running import AccountClient, data_of

URI = "https://tickets.example.com/voicemail?x=1"


async def a_webhook(account: AccountClient, **more: Any) -> dict[str, Any]:
    document = {"name": "Tickets", "uri": URI, "hook": "message.new", **more}
    made = await account.http.put(account.path("webhooks"), json={"data": document})
    webhook: dict[str, Any] = data_of(made, 201)
    return webhook


def rules(answer: httpx.Response) -> dict[str, list[str]]:
    return {field: list(broken) for field, broken in problems(answer).items()}
