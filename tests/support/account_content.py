"""Content of an account as its clients see it."""

from typing import Any

import msgspec

from tests.support.running import AccountClient, data_of


class Content(msgspec.Struct, frozen=True):
    """What a client sees of an account."""

    boxes: Any
    messages: Any
    trash: Any
    audio: list[bytes]
    users: Any
    holds: Any


async def fill(account: AccountClient, messages: int = 4) -> str:
    """Creates a user, a box with messages of several kinds and a hold; returns the box."""
    user = {"username": "ann", "password": "correct horse", "first_name": "Ann", "last_name": "B"}
    data_of(await account.http.put(account.path("users"), json={"data": user}), 201)
    vmbox_id = await account.a_vmbox(pin="4711")
    ids = [
        await account.leave(vmbox_id, audio=b"audio" + number.to_bytes(2), caller_id_number="1001")
        for number in range(messages)
    ]
    path = account.path("vmboxes", vmbox_id, "messages", ids[0])
    data_of(await account.http.post(path, json={"data": {"folder": "saved"}}))
    data_of(await account.http.delete(account.path("vmboxes", vmbox_id, "messages", ids[1])))
    hold = {"name": "Case 7", "reason": "Claim", "caller_id_number": "1001"}
    data_of(await account.http.put(account.path("holds"), json={"data": hold}), 201)
    return vmbox_id


async def content_of(account: AccountClient, vmbox_id: str) -> Content:
    async def data(*parts: str) -> Any:
        return data_of(await account.http.get(account.path(*parts)))

    messages = await data("vmboxes", vmbox_id, "messages")
    return Content(
        boxes=await data("vmboxes"),
        messages=messages,
        trash=await data("vmboxes", vmbox_id, "trash"),
        audio=[
            (
                await account.http.get(
                    account.path("vmboxes", vmbox_id, "messages", message["media_id"], "raw")
                )
            ).content
            for message in messages
        ],
        users=await data("users"),
        holds=await data("holds"),
    )
