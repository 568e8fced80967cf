"""Exports over HTTP: started by an administrator, written by the keeper, and downloaded."""

import io
import tarfile

import asyncpg
import msgspec
import pytest
import zstandard

from tests.contract.test_accounts_cli import aftertone
from tests.contract.test_audit import recorded
from tests.contract.wire import refusal
from tests.support.audio_samples import a_wav
from tests.support.running import AccountClient, data_of


async def test_an_export_is_started_written_downloaded_and_deleted(account: AccountClient) -> None:
    vmbox_id = await account.a_vmbox(pin="4711")
    media_id = await account.leave(vmbox_id, a_wav(0.2), "audio/wav")
    answer = await account.http.put(account.path("exports"))
    started = data_of(answer, 201)
    path = account.path("exports", started["id"])
    assert answer.headers["location"].endswith(f"/exports/{started['id']}")
    assert started["status"] == "pending"
    refusal(await account.http.put(account.path("exports")), 409, "export_in_progress")
    refusal(await account.http.get(f"{path}/raw"), 409, "export_not_ready")
    refusal(await account.http.get(account.path("exports", "0" * 32)), 404, "bad_identifier")
    await aftertone(account.service, "keeper", "--once", "exports")
    job = data_of(await account.http.get(path))
    assert (job["status"], job["messages"], job["exported"]) == ("done", 1, 1)
    assert data_of(await account.http.get(account.path("exports"))) == [job]
    archive = await account.http.get(f"{path}/raw")
    assert len(archive.content) == job["size"]
    part = await account.http.get(f"{path}/raw", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, archive.content[10:20])
    frames = zstandard.ZstdDecompressor().stream_reader(archive.content, read_across_frames=True)
    with tarfile.open(fileobj=io.BytesIO(frames.read())) as tar:
        names = tar.getnames()
        boxes = tar.extractfile("boxes/00000001.jsonl")
        assert boxes is not None
        assert msgspec.json.decode(boxes.read())["document"]["pin"] == "4711"
    assert names[-2:] == [f"messages/{account.account_id}/{media_id}.wav", "manifest.json"]
    read = await recorded(account, 2, action="export.read")
    assert {row["target"] for row in read} == {started["id"]}
    owner = await asyncpg.connect(account.service.servers.postgres.url())
    await owner.execute(
        "UPDATE export_jobs SET created_at = now() - interval '8 days' WHERE export_id = $1::uuid",
        started["id"],
    )
    await owner.close()
    await aftertone(account.service, "keeper", "--once", "exports")
    refusal(await account.http.get(f"{path}/raw"), 404, "bad_identifier")


@pytest.mark.long
async def test_an_erasure_of_a_person_deletes_the_exports_that_contain_the_account(
    account: AccountClient,
) -> None:
    data_of(await account.http.put(account.path("exports")), 201)
    await aftertone(account.service, "keeper", "--once", "exports")
    body = {"data": {"caller_id_number": "+49123456789"}}
    answer = await account.http.post(account.path("erasures"), json=body)
    assert answer.status_code in (201, 202)
    await aftertone(account.service, "keeper", "--once", "erasure")
    assert data_of(await account.http.get(account.path("exports"))) == []
