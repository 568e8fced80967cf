"""A message is stored, played, saved and removed."""

from tests.support.audio_samples import a_wav, an_mp3
from tests.support.running import AccountClient, data_of


async def test_a_message_is_stored_read_moved_and_removed(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(mailbox="3000")
    media_id = await account.leave(
        vmbox_id, an_mp3(), caller_id_name="Ann", caller_id_number="1001"
    )
    message = account.path("vmboxes", vmbox_id, "messages", media_id)

    response = await account.http.get(f"{message}/raw")
    assert response.content == an_mp3()
    assert response.headers["content-type"] == "audio/mpeg"
    assert [row["media_id"] for row in await account.listed(vmbox_id)] == [media_id]
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}

    saved = await account.http.post(message, json={"data": {"folder": "saved"}})
    assert data_of(saved)["folder"] == "saved"
    assert await account.counts(vmbox_id) == {"new": 0, "saved": 1}

    removed = await account.http.delete(message)
    assert data_of(removed)["folder"] == "deleted"
    assert await account.listed(vmbox_id) == []
    assert await account.counts(vmbox_id) == {"new": 0, "saved": 0}
    assert (await account.http.get(message)).status_code == 404
    assert (await account.http.get(f"{message}/raw")).status_code == 404


async def test_audio_may_follow_in_a_second_request(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox()
    messages = account.path("vmboxes", vmbox_id, "messages")
    pending = data_of(await account.http.put(messages, json={"data": {"folder": "new"}}), 201)
    assert pending["id"] == pending["media_id"] == pending["metadata"]["media_id"]
    assert await account.counts(vmbox_id) == {"new": 0, "saved": 0}
    assert (await account.http.get(f"{messages}/{pending['id']}/raw")).status_code == 404

    sound = a_wav(seconds=2)
    completed = await account.http.put(
        f"{messages}/{pending['id']}/raw", content=sound, headers={"Content-Type": "audio/wav"}
    )
    assert data_of(completed, 201)["length"] == 2000
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}
    assert (await account.http.get(f"{messages}/{pending['id']}/raw")).content == sound
