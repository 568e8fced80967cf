"""Numbers of new mailboxes."""

import asyncio

import httpx

from tests.contract.mailboxes import a_mailbox, bare, refused
from tests.contract.wire import NO_ID
from tests.support.running import AccountClient, data_of


async def number_of(account: AccountClient, mailbox_id: str) -> str:
    box = data_of(await account.http.get(account.path("vmboxes", bare(mailbox_id))))
    number: str = box["mailbox"]
    return number


async def test_each_mailbox_gets_the_lowest_free_number(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    await account.a_vmbox(mailbox="1001", aliases=["1003", "01004"])
    made = [await a_mailbox(voip) for _ in range(4)]
    numbers = [await number_of(account, result) for result in made]
    assert numbers == ["1000", "1002", "1005", "1006"]
    assert (await voip.delete(f"/voip/mailbox/{made[1]}")).status_code == 204
    assert await number_of(account, await a_mailbox(voip)) == "1002"
    renumbered = account.path("vmboxes", bare(made[0]))
    data_of(await account.http.patch(renumbered, json={"data": {"mailbox": "5"}}))
    assert await number_of(account, await a_mailbox(voip)) == "1000"


async def test_sixteen_concurrent_mailboxes_get_sixteen_numbers(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    made = await asyncio.gather(*(a_mailbox(voip, name=f"Box {n}") for n in range(16)))
    numbers = {await number_of(account, result) for result in made}
    assert numbers == {str(number) for number in range(1000, 1016)}


async def test_numbers_in_concurrent_use_are_skipped(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    named = (account.a_vmbox(mailbox=str(number)) for number in range(1000, 1008))
    made = [a_mailbox(voip) for _ in range(8)]
    answers = await asyncio.gather(*made, *named, return_exceptions=True)
    numbers = [await number_of(account, item) for item in answers[:8] if isinstance(item, str)]
    assert len(set(numbers)) == 8
    listed = data_of(await account.http.get(account.path("vmboxes")))
    assert len({row["mailbox"] for row in listed}) == len(listed)


async def test_without_a_free_number_the_mailbox_is_refused(
    account: AccountClient, voip: httpx.AsyncClient
) -> None:
    for first in range(1000, 10_000, 90):
        aliases = [str(number) for number in range(first + 1, first + 90)]
        await account.a_vmbox(mailbox=str(first), aliases=aliases)
    refused(await voip.post("/voip/mailbox", json={"name": "One too many"}), 409, "Conflict")
    refused(await voip.get(f"/voip/mailbox/{NO_ID}"), 404, "Not Found")
