"""Examples of the documents that this wire follows: setup, curl command and expected response.

An example is a JSON file of `golden/seeds/`: the command line as it is printed (or corrected), what
must be there before (`given`), the answer that is printed (`documented`) with what differs from it
by decision, or the whole answer (`expected`) where none is printed. Values that the service makes
up bear names in angle brackets.
"""

import asyncio
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec

from service.api.kazoo.times import gregorian
from tests.support.audio_samples import an_mp3
from tests.support.running import AccountClient, data_of, multipart

SEEDS = Path(__file__).parent / "golden" / "seeds"
EXAMPLES = sorted(str(path.relative_to(SEEDS))[:-5] for path in SEEDS.glob("*/*.json"))
UNKNOWN_ID = "201605-49be0985ea3a33046f8073083517d27b"
# Every envelope has these beside what the documents print.
ALWAYS = ("timestamp", "node", "version")

_TRANSCRIPTION = b'{"result":"success","text":"This is a test of the voicemail transcription."}'
_MESSAGE_ID = re.compile(r"(\d{6})-[0-9a-f]{32}")
_HEX = re.compile(r"[0-9a-f]{24}|[0-9a-f]{32}")


def example(name: str) -> dict[str, Any]:
    read: dict[str, Any] = msgspec.json.decode((SEEDS / f"{name}.json").read_bytes())
    return read


class ExampleVmbox:
    """Account that an example uses, and a shell that runs the command line of the example."""

    def __init__(self, account: AccountClient, folder: Path) -> None:
        self.account = account
        self.folder = folder
        server = account.service.url.removeprefix("http://")
        self.names = {
            "https://api.audian.com:8443": account.service.url,
            "{SERVER}:8000": server,
            "{AUTH_TOKEN}": account.token,
            "{ACCOUNT_ID}": account.account_id,
            "MSG_ID3": UNKNOWN_ID,
        }
        self.labels = {
            account.token: "AUTH_TOKEN",
            account.realm: "REALM",
            UNKNOWN_ID: "UNKNOWN_MSG_ID",
        }
        self.vmbox_id = ""
        self.ids: list[str] = []

    async def set(self, case: Mapping[str, Any]) -> None:
        """Creates the boxes and messages that the example requires."""
        for word in case["given"]:
            await self._give(word, case)

    async def clear(self) -> None:
        """Deletes every box: the documents' examples are all about number 3000."""
        path = self.account.path("vmboxes")
        for row in data_of(await self.account.http.get(path)):
            data_of(await self.account.http.delete(f"{path}/{row['id']}"))

    async def _give(self, word: str, case: Mapping[str, Any]) -> None:
        match word:
            case "box":
                await self._box(_body(example("kazoo_5/02_create_box")))
            case "box of Audian":
                row = example("audian/02_list_boxes")["documented"]["data"][0]
                await self._box({name: row[name] for name in row if name != "id"})
            case "another box":
                self.names["{NEW_VM_BOX_ID}"] = await self.account.a_vmbox(mailbox="3001")
            case "some_key":
                path = self.account.path("vmboxes", self.vmbox_id)
                data_of(await self.account.http.patch(path, json={"data": {"some_key": _SOME}}))
            case "four messages":
                for folder in ("new", "new", "new", "saved"):
                    await self.account.leave(self.vmbox_id, folder=folder)
            case _:
                await self._give_messages(word, case)

    async def _give_messages(self, word: str, case: Mapping[str, Any]) -> None:
        match word:
            case "messages":
                for row in example("kazoo_5/08_list_messages")["documented"]["data"]:
                    await self._message("audio/mp3", row)
            case "message of Audian":
                row = example("audian/07_list_messages")["documented"]["data"][0]
                await self._message("audio/mpeg", row)
            case "first message saved":
                await self._post(self.ids[0], folder="saved")
            case "transcription":
                await self._transcribe()
            case "files":
                (self.folder / "voice.mp3").write_bytes(an_mp3())
                said = _documented_data(case) if "documented" in case else {}
                (self.folder / "message.json").write_bytes(_envelope(said))
            case "pending message":
                path = self.account.path("vmboxes", self.vmbox_id, "messages")
                made = await self.account.http.put(path, content=_envelope(_documented_data(case)))
                self._known(data_of(made, 201)["media_id"], "NEW_MSG_ID of 201605")
            case _:
                raise AssertionError(word)

    async def _box(self, settings: Mapping[str, Any]) -> None:
        self.vmbox_id = await self.account.a_vmbox(**settings)
        self.names |= dict.fromkeys(("{VM_BOX_ID}", "{VMBOX_ID}"), self.vmbox_id)
        self.labels[self.vmbox_id] = "VM_BOX_ID"

    async def _message(self, content_type: str, row: Mapping[str, Any]) -> None:
        said = {name: row[name] for name in row if name != "media_id"}
        path = self.account.path("vmboxes", self.vmbox_id, "messages")
        left = await self.account.http.put(path, **multipart(an_mp3(), content_type, said))
        self._known(data_of(left, 201)["media_id"], "OTHER_MSG_ID" if self.ids else "VM_MSG_ID")

    def _known(self, media_id: str, label: str) -> None:
        self.ids.append(media_id)
        self.labels[media_id] = label
        self.names[f"MSG_ID{len(self.ids)}"] = media_id
        if len(self.ids) == 1:
            self.names |= dict.fromkeys(("{VM_MSG_ID}", "{MESSAGE_ID}"), media_id)

    async def _post(self, media_id: str, **data: Any) -> None:
        path = self.account.path("vmboxes", self.vmbox_id, "messages", media_id)
        data_of(await self.account.http.post(path, json={"data": data}))

    async def _transcribe(self) -> None:
        """Stores a transcription as the channel does, because no client can store one."""
        url = self.account.service.environment["AFTERTONE_OWNER_DATABASE_URL"]
        connection = await asyncpg.connect(url)
        try:
            month, _, identity = self.ids[0].partition("-")
            await connection.execute(
                "UPDATE messages SET transcription = $3::text::jsonb WHERE month = $1 AND id = $2",
                int(month),
                identity,
                _TRANSCRIPTION.decode(),
            )
        finally:
            await connection.close()

    async def curl(self, lines: Sequence[str]) -> httpx.Response:
        """Runs the command line as a shell without brace expansion does."""
        line = " ".join(lines)
        for name, value in self.names.items():
            line = line.replace(name, value)
        words = shlex.split(line)
        head = self.folder / "head"
        more = ("--silent", "--dump-header", str(head), "--max-time", "20")
        process = await asyncio.create_subprocess_exec(
            *words,
            *more,
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        body, _ = await process.communicate()
        assert process.returncode == 0, line
        if "--output" in words:
            body = (self.folder / words[words.index("--output") + 1]).read_bytes()
        return _answer(head.read_text("latin-1"), body)

    def labelled(self, answer: httpx.Response) -> dict[str, Any]:
        """Returns the envelope with labels for generated values, without the common keys."""
        labels = {**self.labels, answer.headers["x-request-id"]: "REQUEST_ID"}
        envelope: dict[str, Any] = _labelled(answer.json(), "", labels)
        for name in ALWAYS:
            # Who does not know the caller does not tell the version.
            assert name in envelope or (name, "auth_token" in envelope) == ("version", False)
            envelope.pop(name, None)
        return envelope


def expected(case: Mapping[str, Any]) -> dict[str, Any]:
    """The answer that is documented, changed where ours differs; or the one that is expected."""
    answer: dict[str, Any] = case.get("documented") or case["expected"]
    for difference in case.get("differences", ()):
        for name in difference.get("absent", ()):
            del answer[name]
        for path, value in difference.get("here", {}).items():
            *way, last = path.split(".")
            place: Any = answer
            for step in way:
                place = place[int(step)] if isinstance(place, list) else place[step]
            place[last] = value
    return answer


_SOME = "some_value"


def _envelope(data: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"data": data})


def _documented_data(case: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data of a message from the documented answer."""
    data: dict[str, Any] = case["documented"]["data"]
    return {name: data[name] for name in data if name != "media_id"}


def _body(case: Mapping[str, Any]) -> dict[str, Any]:
    """The `data` of an example's own command line."""
    words = shlex.split(" ".join(case["command"]))
    data: dict[str, Any] = msgspec.json.decode(words[words.index("-d") + 1])["data"]
    return data


def _labelled(value: Any, key: str, labels: Mapping[str, str]) -> Any:
    match value:
        case {"message": str(), "target": "body"}:
            return {**value, "message": "<WORDS>"}
        case dict():
            return {
                _labelled(name, "", labels): _labelled(inner, name, labels)
                for name, inner in value.items()
            }
        case list():
            return [_labelled(inner, key, labels) for inner in value]
        case str():
            return _text(value, key, labels)
        case int() if not isinstance(value, bool):
            return _number(value, key)
        case _:
            return value


def _text(value: str, key: str, labels: Mapping[str, str]) -> str:
    for real, label in labels.items():
        value = value.replace(real, f"<{label}>")
    if match := _MESSAGE_ID.fullmatch(value):
        month = "this month" if match[1] == f"{datetime.now(UTC):%Y%m}" else match[1]
        return f"<NEW_MSG_ID of {month}>"
    if key == "revision" and value:
        return "<REVISION>"
    if key == "start_key" and value:
        return "<KEY>"
    if key in ("id", "call_id") and _HEX.fullmatch(value):
        return "<VM_BOX_ID>" if key == "id" else "<CALL_ID>"
    return value


def _number(value: int, key: str) -> int | str:
    """Replaces times of this minute by labels; the times of the documents are years ago."""
    recent = abs(value - gregorian(datetime.now(UTC))) < 60
    labels = {"created": "<CREATED>", "modified": "<MODIFIED>", "timestamp": "<NOW>"}
    return labels[key] if recent and key in labels else value


def _answer(heads: str, body: bytes) -> httpx.Response:
    """The answer behind any `100 Continue`."""
    status, *lines = heads.strip().split("\n\n")[-1].splitlines()
    fields = [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines]
    return httpx.Response(int(status.split()[1]), headers=fields, content=body)
