"""The name under which audio is offered: local times and extensions."""

from typing import Any

import pytest

from tests.support.running import AccountClient, data_of

WINTER = 63_933_364_800  # 2025-12-19T12:00:00Z
SUMMER = 63_918_504_000  # 2025-06-30T12:00:00Z


async def offered(account: AccountClient, vmbox_id: str, **data: Any) -> str:
    """The name of a new message's audio."""
    parameters = {"caller_id_number": "1001", **data}
    media_id = await account.leave(vmbox_id, **parameters)
    path = account.path("vmboxes", vmbox_id, "messages", media_id, "raw")
    return str((await account.http.get(path)).headers["content-disposition"])


@pytest.mark.parametrize(
    ("timezone", "moment"),
    [
        (None, "2025-12-19_12:00:00"),
        ("inherit", "2025-12-19_12:00:00"),
        ("America/Los_Angeles", "2025-12-19_04:00:00"),
        ("Pacific/Kiritimati", "2025-12-20_02:00:00"),
        ("Asia/Kathmandu", "2025-12-19_17:45:00"),
    ],
)
async def test_the_time_is_that_of_the_box(
    account: AccountClient, timezone: str | None, moment: str
) -> None:
    vmbox_id = await account.a_vmbox(**({} if timezone is None else {"timezone": timezone}))
    name = await offered(account, vmbox_id, timestamp=WINTER)
    assert name == f'attachment; filename="1001_{moment}.mp3"'


async def test_summer_time_counts(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(timezone="Europe/Berlin")
    assert "_2025-12-19_13:00:00" in await offered(account, vmbox_id, timestamp=WINTER)
    assert "_2025-06-30_14:00:00" in await offered(account, vmbox_id, timestamp=SUMMER)


async def test_a_box_without_a_time_has_its_owners_or_the_accounts(
    account: AccountClient,
) -> None:
    user = {"username": "ann", "password": "secret words", "timezone": "Asia/Tokyo"}
    made = await account.http.put(account.path("users"), json={"data": user})
    owner = data_of(made, 201)["id"]
    owned = await account.a_vmbox(owner_id=owner, timezone="inherit")
    lonely = await account.a_vmbox(owner_id="0" * 32)
    strange = await account.a_vmbox(owner_id="x" * 32)
    assert "_2025-12-19_21:00:00" in await offered(account, owned, timestamp=WINTER)
    for vmbox_id in (lonely, strange):
        assert "_2025-12-19_12:00:00" in await offered(account, vmbox_id, timestamp=WINTER)
    changed = {"data": {"timezone": "America/New_York"}}
    data_of(await account.http.patch(account.path(), json=changed))
    for vmbox_id in (lonely, strange):
        assert "_2025-12-19_07:00:00" in await offered(account, vmbox_id, timestamp=WINTER)
    assert "_2025-12-19_21:00:00" in await offered(account, owned, timestamp=WINTER)


@pytest.mark.parametrize(
    ("content_type", "filename", "stored_type", "extension"),
    [
        ("audio/mpeg", "hello.wav", "audio/mpeg", "wav"),
        ("application/octet-stream", "hello.GSM", "audio/x-gsm", "gsm"),
        ("application/octet-stream", "hello.m4a", "audio/mp4", "m4a"),
        ("application/octet-stream", "hello.exe", "application/octet-stream", "bin"),
        ("audio/mpeg", "hello", "audio/mpeg", "mp3"),
        ("audio/mpeg", "hello.exe", "audio/mpeg", "mp3"),
        ("audio/mpeg", "hello.bin", "audio/mpeg", "mp3"),
        ("audio/mpeg", "../../etc/x.wav/", "audio/mpeg", "mp3"),
        ("audio/mpeg", "wav", "audio/mpeg", "mp3"),
        ("audio/mpeg", "\0\r\n.ogg", "audio/mpeg", "ogg"),
        ("audio/mpeg", "x" * 3000 + ".ogg", "audio/mpeg", "ogg"),
        ("audio/mpeg", "", "audio/mpeg", "mp3"),
    ],
)
async def test_a_name_given_to_an_upload_decides_on_its_extension(
    account: AccountClient, content_type: str, filename: str, stored_type: str, extension: str
) -> None:
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    sent: dict[str, Any] = {
        "content": b"audio",
        "headers": {"Content-Type": content_type},
        "params": {"filename": filename},
    }
    media_id = data_of(await account.http.put(messages, **sent), 201)["media_id"]
    raw = f"{messages}/{media_id}/raw"
    for _ in range(2):
        response = await account.http.get(raw)
        assert response.headers["content-disposition"].endswith(f'.{extension}"')
        assert response.headers["content-type"] == stored_type
        data_of(await account.http.put(raw, **sent), 201)


async def test_a_part_may_name_its_file(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    form: dict[str, Any] = {"files": [("x", ("voice.opus", b"audio", "application/octet-stream"))]}
    media_id = data_of(await account.http.put(messages, **form), 201)["media_id"]
    raw = await account.http.get(f"{messages}/{media_id}/raw")
    assert raw.headers["content-disposition"].endswith('.opus"')
    query = await account.http.put(messages, **form, params={"filename": "a.wav"})
    raw = await account.http.get(f"{messages}/{data_of(query, 201)['media_id']}/raw")
    assert raw.headers["content-disposition"].endswith('.wav"')
