"""Documents that attacks need: large boxes, webhooks."""

from typing import Any
from uuid import uuid4

from tests.attacks.harness import AttackedApi
from tests.support.running import AccountClient, data_of

# Documents of almost 64 KiB: the one with most JSON nodes first, in case it is refused.
_FILLERS: tuple[Any, ...] = ([{}] * 21_000, "x" * 64_000)


async def create_large_vmboxes(api: AttackedApi, count: int) -> None:
    """Creates boxes with documents as large as the service accepts."""
    for filler in _FILLERS:
        document = {"name": "Box", "mailbox": str(uuid4().int)[:12], "filler": filler}
        created = await api.attacker.http.put(api.attacker.path("vmboxes"), json={"data": document})
        if created.status_code == 201:
            break
    for _ in range(1, count):
        await api.attacker.a_vmbox(filler=filler)


async def create_webhook(account: AccountClient, uri: str) -> str:
    """Creates a webhook and returns the path of its ping."""
    document = {"name": "Hook", "uri": uri, "hook": "all"}
    created = await account.http.put(account.path("webhooks"), json={"data": document})
    return account.path("webhooks", data_of(created, 201)["id"], "ping")
