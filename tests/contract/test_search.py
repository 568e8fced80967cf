"""Search of messages: words, phrases and numbers, the places that match, pages and bad queries."""

from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from tests.contract.wire import ago, problems
from tests.support.running import AccountClient, data_of

_TRANSCRIBE = "UPDATE messages SET transcription = $2 WHERE id = $1"


async def store_transcribed(
    account: AccountClient,
    vmbox_id: str,
    *,
    name: str = "Anonymous",
    number: str = "anonymous",
    said: str = "",
    language: str = "",
    hours: int = 1,
) -> str:
    """Stores a message with a transcription. Returns its id."""
    path = account.path("vmboxes", vmbox_id, "messages")
    message = {"caller_id_name": name, "caller_id_number": number, "timestamp": ago(hours=hours)}
    media_id: str = data_of(await account.http.put(path, json={"data": message}), 201)["media_id"]
    if said:
        text = {"result": "success", "text": said, **({"language": language} if language else {})}
        owner = account.service.environment["AFTERTONE_OWNER_DATABASE_URL"]
        connection = await asyncpg.connect(owner)
        await connection.execute(
            _TRANSCRIBE, UUID(media_id[7:]), msgspec.json.encode(text).decode()
        )
        await connection.close()
    return media_id


async def search(
    account: AccountClient, q: str, vmbox_id: str | None = None, **query: Any
) -> list[dict[str, Any]]:
    """Returns the rows of a search."""
    path = account.path("vmboxes", *([vmbox_id] if vmbox_id else []), "messages")
    rows = data_of(await account.http.get(path, params={"q": q, **query}))
    return rows if vmbox_id else [row for each in rows for row in each.values()]


def texts(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(place["field"], place["text"]) for place in row["match"]]


async def test_words_phrases_and_numbers_are_found_with_their_places(
    account: AccountClient,
) -> None:
    box = await account.a_vmbox(name="Verkäufe Süd")
    message = await store_transcribed(
        account,
        box,
        name="Zoë O'Brien",
        number="+14155551234",
        said="Please call me back. The shoes were running out.",
        language="en",
    )
    await store_transcribed(
        account, box, name="Bob", number="+498912345", said="No thanks", language="en"
    )
    for q, expected in {
        "zoe": [("caller_id_name", "Zoë")],
        "o'brien": [("caller_id_name", "O'Brien")],
        "4155551234": [("caller_id_number", "4155551234")],
        "(415) 555-1234": [("caller_id_number", "4155551234")],
        "+1 415 555 12": [("caller_id_number", "141555512")],
        "1234": [("caller_id_number", "1234")],
        '"call me"': [("transcription", "call me")],
        "calls BRIEN": [("caller_id_name", "Brien"), ("transcription", "call")],
        "shoe": [("transcription", "shoes")],
        "verkaufe zoe": [("caller_id_name", "Zoë"), ("vmbox_name", "Verkäufe")],
    }.items():
        for rows in (await search(account, q), await search(account, q, box)):
            assert [row["media_id"] for row in rows] == [message], q
            assert texts(rows[0]) == expected, q
    row = (await search(account, "running"))[0]
    assert row["transcript"][row["match"][0]["start"] : row["match"][0]["end"]] == "running"
    assert row["vmbox_name"] == "Verkäufe Süd"
    assert await search(account, '"me call"') == []
    assert await search(account, "zoe thanks") == []
    assert len(await search(account, "sud")) == 2


async def test_pages_of_a_search_visit_every_result_once_newest_first(
    account: AccountClient,
) -> None:
    box, other = await account.a_vmbox(), await account.a_vmbox()
    ids = [
        await store_transcribed(account, [box, other][hours % 2], name="Ann Lee", hours=hours)
        for hours in (1, 2, 30, 31, 700, 701, 1500, 2000)
    ]
    await store_transcribed(account, box, name="Bob", hours=3)
    query: dict[str, Any] = {"q": "lee", "page_size": 3}
    found: list[str] = []
    while True:
        envelope = (await account.http.get(account.path("vmboxes/messages"), params=query)).json()
        found += [row["media_id"] for each in envelope["data"] for row in each.values()]
        if "next_start_key" not in envelope:
            break
        query["start_key"] = envelope["next_start_key"]
    assert found == ids
    in_box = await search(account, "lee", box)
    assert [row["media_id"] for row in in_box] == [ids[i] for i in (1, 2, 4, 6, 7)]
    assert await search(account, "lee", box, filter_folder="saved") == []
    assert len(await search(account, "lee", box, filter_caller_id_name="Ann Lee")) == 5


async def test_a_search_shows_no_removed_message_and_no_message_of_a_deleted_box(
    account: AccountClient,
) -> None:
    box, deleted = await account.a_vmbox(), await account.a_vmbox()
    kept, removed = [await store_transcribed(account, box, name="Zed") for _ in range(2)]
    await store_transcribed(account, deleted, name="Zed")
    data_of(await account.http.delete(account.path("vmboxes", box, "messages", removed)))
    data_of(await account.http.delete(account.path("vmboxes", deleted)))
    assert [row["media_id"] for row in await search(account, "zed")] == [kept]
    path = account.path("vmboxes", deleted, "messages")
    assert (await account.http.get(path, params={"q": "zed"})).status_code == 404


@pytest.mark.parametrize(
    ("q", "text"),
    [
        ("x" * 201, "q has more than 200 characters; send a shorter one"),
        (" ".join(f"w{n}" for n in range(11)), "q has more than 10 words or phrases; send fewer"),
        ("\0 ' & | ! :* \u202e", "q contains no word; send a word or a number"),
    ],
)
async def test_a_query_that_cannot_be_searched_is_refused(
    account: AccountClient, q: str, text: str
) -> None:
    for path in (
        account.path("vmboxes/messages"),
        account.path("vmboxes", await account.a_vmbox(), "messages"),
    ):
        refused = await account.http.get(path, params={"q": q})
        assert refused.status_code == 400
        assert text in str(problems(refused)["q"])


@pytest.mark.parametrize(
    "q",
    [
        "a' | '",
        "a:* & !b <-> c",
        "\\' \\\\",
        "\u202eabc\u202c",
        "a\0b",
        "%_",
        '"',
        "((((",
        "💣",
        "ﷺ",
        "x" * 200,
    ],
)
async def test_a_hostile_query_is_a_search_for_its_words(account: AccountClient, q: str) -> None:
    box = await account.a_vmbox()
    await store_transcribed(account, box, name="Ann")
    path = account.path("vmboxes", box, "messages")
    assert (await account.http.get(path, params={"q": q})).status_code in (200, 400)
