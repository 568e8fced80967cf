"""The command lines of the KAZOO API docs ("Voicemail", 5.x), run as they are printed there.

Where a line is broken as printed its corrected form stands here; the printed one is refused.
"""

import asyncio
import shlex
import shutil
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.contract.wire import NO_ID, ago, golden, refusal
from tests.support.audio_samples import a_mu_law_wav, an_mp3
from tests.support.running import AccountClient, data_of

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

VMBOXES = "http://{SERVER}/v2/accounts/{ACCOUNT_ID}/vmboxes"
BOX = VMBOXES + "/{VM_BOX_ID}"
MESSAGE = BOX + "/messages/{VM_MSG_ID}"

METADATA = {
    "caller_id_name": "userb userb",
    "caller_id_number": "1001",
    "call_id": "79959ZDNmM2I5ZTliMzA0NzA4N2FjNjlmODA5OWVkZjUxZWU",
    "folder": "new",
    "from": "1001@aeac33.sip.2600hz.com",
    "to": "1000@aeac33.sip.2600hz.com",
    "length": 3140,
}


class Shell:
    """Runs command lines with their placeholders filled in."""

    def __init__(self, account: AccountClient, folder: Path) -> None:
        self.folder = folder
        self.names = {
            "{SERVER}": account.service.url.removeprefix("http://"),
            "{AUTH_TOKEN}": account.token,
            "{ACCOUNT_ID}": account.account_id,
        }

    async def curl(self, line: str) -> httpx.Response:
        for name, value in self.names.items():
            line = line.replace(name, value)
        process = await asyncio.create_subprocess_exec(
            *shlex.split(line),
            *("--silent", "--include", "--max-time", "20"),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, line
        return _parsed(output)


@pytest.fixture
def shell(account: AccountClient, tmp_path: Path) -> Shell:
    (tmp_path / "voice.mp3").write_bytes(an_mp3())
    (tmp_path / "voice.wav").write_bytes(a_mu_law_wav())
    metadata = {"data": {**METADATA, "timestamp": ago(days=1)}}
    (tmp_path / "message.json").write_bytes(msgspec.json.encode(metadata))
    return Shell(account, tmp_path)


async def a_box(shell: Shell) -> dict[str, Any]:
    made = await shell.curl(
        """curl -v -X PUT -H "X-Auth-Token: {AUTH_TOKEN}" -H "Content-Type: application/json"
        -d '{"data": {"name": "VMBox 0", "require_pin": true, "is_setup": false, "pin": "0000",
        "mailbox": "3000", "timezone": "America/Los_Angeles", "check_if_owner": true,
        "delete_after_notify": false, "not_configurable": false, "notify_email_addresses": [],
        "save_after_notify": false, "skip_greeting": false, "skip_instructions": false,
        "owner_id": "f1d98a5df729f95cd208ee9430e3b21b", "media":{}}}' """
        + VMBOXES
    )
    document: dict[str, Any] = data_of(made, 201)
    shell.names["{VM_BOX_ID}"] = document["id"]
    return document


async def test_boxes_as_documented(shell: Shell) -> None:
    document = await a_box(shell)
    assert (document["pin"], document["timezone"]) == ("0000", "America/Los_Angeles")
    changed = await shell.curl(
        """curl -v -X PATCH -H "X-Auth-Token: {AUTH_TOKEN}"
        -d '{"data":{"some_key":"some_value"}}' """
        + BOX
    )
    assert data_of(changed) == {**document, "some_key": "some_value"}
    read = await shell.curl(f'curl -v -X GET -H "X-Auth-Token: {{AUTH_TOKEN}}" {BOX}')
    assert data_of(read) == data_of(changed)
    deleted = await shell.curl(f'curl -v -X DELETE -H "X-Auth-Token: {{AUTH_TOKEN}}" {BOX}')
    assert deleted.json()["metadata"]["deleted"] is True


async def test_a_message_and_its_audio_in_one_request_as_documented(
    shell: Shell, account: AccountClient
) -> None:
    vmbox_id = (await a_box(shell))["id"]
    upload = """curl -v -X PUT -H "Content-Type: multipart/mixed"
        -F "content=@message.json; type=application/json"
        -F "content=@voice.mp3; type=audio/mp3" -H 'X-Auth-Token: {AUTH_TOKEN}' """
    printed = await shell.curl(upload + "http://{SERVER}/v2/accounts/{ACCOUNT_ID}/messages")
    refusal(printed, 404, "not_found")

    stored = await shell.curl(f"{upload} {BOX}/messages")
    media_id = data_of(stored, 201)["media_id"]
    shell.names["{VM_MSG_ID}"] = media_id
    names = {
        account.token: "AUTH_TOKEN",
        media_id: "VM_MSG_ID",
        vmbox_id: "VM_BOX_ID",
        ago(days=1): "SENT",
    }
    golden("message_stored", stored, names)
    assert stored.headers["location"].endswith(f"/messages/{media_id}")
    token = '-H "X-Auth-Token: {AUTH_TOKEN}"'
    golden("message_stored", await shell.curl(f"curl -v -X GET {token} {MESSAGE}"), names)
    listed = await shell.curl(f"curl -v -X GET {token} {BOX}/messages?paginate=true")
    envelope = listed.json()
    names |= {envelope["start_key"]: "START_KEY", envelope["revision"]: "REVISION"}
    golden("messages_listed", listed, names)
    everywhere = await shell.curl(f"curl -v -X GET {token} {VMBOXES}/messages")
    assert data_of(everywhere) == [{vmbox_id: envelope["data"][0]}]

    raw = await shell.curl(f"curl -v -X GET {token} {MESSAGE}/raw")
    assert (raw.content, raw.headers["content-type"]) == (an_mp3(), "audio/mp3")
    saved = await shell.curl(f"""curl -v -X POST {token} -d '{{"data": {{"folder": "saved"}}}}'
        {MESSAGE}""")
    assert data_of(saved)["folder"] == "saved"
    removed = await shell.curl(f"curl -v -X DELETE {token} {MESSAGE}")
    assert data_of(removed)["folder"] == "deleted"
    assert await account.listed(vmbox_id) == []


async def test_a_message_and_then_its_audio_as_documented(
    shell: Shell, account: AccountClient
) -> None:
    vmbox_id = (await a_box(shell))["id"]
    said = """{"data":{"caller_id_name":"someone","caller_id_number":"6001","folder":"new",
        "from":"1001@aeac33.sip.2600hz.com"}}"""
    line = 'curl -v -X PUT -H "X-Auth-Token: {AUTH_TOKEN}" -d '
    # Without quotes a shell takes the quotation marks of the JSON away.
    printed = await shell.curl(f"{line} {said.replace(chr(34), '')!r} {BOX}/messages")
    assert list(refusal(printed, 400, "validation error")["json"]) == ["invalid"]

    pending = await shell.curl(f"{line} '{said}' {BOX}/messages")
    document = data_of(pending, 201)
    names = {
        account.token: "AUTH_TOKEN",
        document["media_id"]: "VM_MSG_ID",
        document["timestamp"]: "NOW",
        document["call_id"]: "CALL_ID",
        account.realm: "REALM",
    }
    golden("message_pending", pending, names)
    shell.names["{VM_MSG_ID}"] = document["media_id"]
    completed = await shell.curl(
        """curl -v -X PUT -H "X-Auth-Token: {AUTH_TOKEN}" -H "Content-Type: multipart/mixed"
        -F "content=@voice.wav; type=audio/wav" """
        + MESSAGE
        + "/raw"
    )
    metadata = document["metadata"]
    assert data_of(completed, 201) == {**metadata, "length": 1000}
    raw = await shell.curl(f'curl -X GET -H "X-Auth-Token: {{AUTH_TOKEN}}" {MESSAGE}/raw')
    assert (raw.content, raw.headers["content-type"]) == (a_mu_law_wav(), "audio/wav")
    assert await account.counts(vmbox_id) == {"new": 1, "saved": 0}


async def test_many_messages_as_documented(shell: Shell, account: AccountClient) -> None:
    vmbox_id = (await a_box(shell))["id"]
    media_id, other = await account.leave(vmbox_id), f"201605-{NO_ID}"
    shell.names |= {"MSG_ID1": media_id, "MSG_ID2": other}
    changed = await shell.curl(
        """curl -v -X POST -H "X-Auth-Token: {AUTH_TOKEN}" -H "Content-Type: application/json"
        -d '{"data": {"folder": "saved", "messages": ["MSG_ID1", "MSG_ID2"]}}' """
        + f"{BOX}/messages"
    )
    assert data_of(changed) == {"succeeded": [media_id], "failed": [{other: "not_found"}]}
    removed = await shell.curl(
        f'curl -v -X DELETE -H "X-Auth-Token: {{AUTH_TOKEN}}" {BOX}/messages'
    )
    assert data_of(removed) == {"succeeded": [media_id], "failed": []}


def _parsed(output: bytes) -> httpx.Response:
    """The answer that `curl --include` printed, behind any `100 Continue`."""
    heading, _, content = output.partition(b"\r\n\r\n")
    while heading.split()[1] == b"100":
        heading, _, content = content.partition(b"\r\n\r\n")
    status, *lines = heading.decode("latin-1").split("\r\n")
    fields = [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines]
    return httpx.Response(int(status.split()[1]), headers=fields, content=content)
