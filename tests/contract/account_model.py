"""Model of an account: its boxes and messages, and a client that updates it."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from service.api.kazoo.times import gregorian
from tests.support.running import RunningService, data_of

UNKNOWN = "202601-0123456789abcdef0123456789abcdef"
DAY = 86_400
RETENTION_S = 93 * DAY + 3_600
FOLDERS = ("new", "saved", "deleted")
EXPIRED = {
    "folder": "deleted",
    "retention": "enforced",
    "retention_message": "this message is prior to retention policy, "
    "no update operation is permitted",
}

Row = dict[str, Any]

# What a list is asked for besides, and which of the rows that it shows are wanted.
ListFilter = tuple[dict[str, Any], Callable[[Row], bool]]
FILTERS: tuple[ListFilter, ...] = (
    ({}, lambda _row: True),
    ({"filter_folder": "new"}, lambda row: row["folder"] == "new"),
    ({"folder": "saved"}, lambda row: row["folder"] == "saved"),
    ({"filter_folder": "deleted"}, lambda row: row["folder"] == "deleted"),
    ({"filter_not_folder": "new"}, lambda row: row["folder"] != "new"),
    ({"filter_caller_id_number": "6001"}, lambda row: row["caller_id_number"] == "6001"),
    (
        {"filter_folder": "new", "filter_caller_id_number": "6002"},
        lambda row: (row["folder"], row["caller_id_number"]) == ("new", "6002"),
    ),
    ({"filter_length": 1, "has_key": "length"}, lambda row: row["length"] == 1),
)
# From and to, as seconds before now; None is not named.
WINDOWS = (
    (None, None),
    (None, -2 * DAY),
    (20 * DAY, 0),
    (100 * DAY, 90 * DAY),
    (60 * DAY, 30 * DAY),
)


def now() -> int:
    """Gregorian seconds."""
    return gregorian(datetime.now(UTC))


@dataclass
class Box:
    """Box that exists. `limit` 0 means no limit."""

    vmbox_id: str
    name: str
    mailbox: str
    limit: int = 0


@dataclass
class Message:
    """Message that exists, as a list shows it while it is retained."""

    vmbox_id: str
    row: Row
    complete: bool

    @property
    def media_id(self) -> str:
        media_id: str = self.row["media_id"]
        return media_id

    @property
    def expired(self) -> bool:
        return bool(self.row["timestamp"] < now() - RETENTION_S)

    @property
    def key(self) -> tuple[str, int, str]:
        """Sort key of lists: month, time, id."""
        month, _, identity = self.media_id.partition("-")
        return month, self.row["timestamp"], identity

    def to_row(self) -> Row:
        return {**self.row, **(EXPIRED if self.expired else {})}


@dataclass
class Account:
    """All boxes and messages, and the ids of removed messages."""

    boxes: dict[str, Box] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    removed: list[tuple[str, str]] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """The list of boxes."""
        boxes = sorted(self.boxes.values(), key=lambda box: (box.name, box.vmbox_id))
        return [
            {
                "id": box.vmbox_id,
                "name": box.name,
                "mailbox": box.mailbox,
                "flags": [],
                "messages": sum(self.counts(box.vmbox_id).values()),
                "folders": self.counts(box.vmbox_id),
            }
            for box in boxes
        ]

    def counts(self, vmbox_id: str) -> dict[str, int]:
        """Complete messages that are retained, those of the next hours too."""
        lying = [
            message.row["folder"]
            for message in self.of(vmbox_id)
            if message.complete and not message.expired
        ]
        return {"new": lying.count("new"), "saved": lying.count("saved")}

    def is_full(self, vmbox_id: str) -> bool:
        limit = self.boxes[vmbox_id].limit
        return 0 < limit <= sum(self.counts(vmbox_id).values())

    def of(self, vmbox_id: str) -> list[Message]:
        return [value for value in self.messages.values() if value.vmbox_id == vmbox_id]

    def listed(
        self,
        vmbox_id: str | None,
        keep: Callable[[Row], bool] = lambda _row: True,
        since: int | None = None,
        until: int | None = None,
    ) -> list[Message]:
        """A box's messages, or all, newest first, within a window that ends now by itself."""
        last = now() if until is None else until
        first = last - RETENTION_S if since is None else since
        result: Iterable[Message] = (
            self.messages.values() if vmbox_id is None else self.of(vmbox_id)
        )
        expected = (
            item
            for item in result
            if first <= item.row["timestamp"] <= last and keep(item.to_row())
        )
        return sorted(expected, key=lambda item: item.key, reverse=True)

    def remove(self, media_id: str) -> None:
        gone = self.messages.pop(media_id)
        self.removed.append((gone.vmbox_id, media_id))

    def delete_box(self, vmbox_id: str) -> None:
        del self.boxes[vmbox_id]
        for message in self.of(vmbox_id):
            self.remove(message.media_id)


class Modelled(RuleBasedStateMachine):
    """Client of one account that records the responses in the model."""

    service: RunningService

    def __init__(self) -> None:
        super().__init__()
        self.model = Account()
        self.numbers = itertools.count(3000)
        self.step = 0
        self.begun = now()
        token = {"X-Auth-Token": self.service.root_token}
        self.http = httpx.Client(base_url=f"{self.service.url}/v2/", headers=token, timeout=30)
        name = f"m{uuid4().hex}"
        self.realm = f"{name}.example"
        made = self.http.put(
            f"accounts/{self.service.root_id}",
            json={"data": {"name": name, "realm": self.realm}},
        )
        self.account = f"accounts/{data_of(made, 201)['id']}/vmboxes"

    def teardown(self) -> None:
        self.http.close()

    def ask(self, method: str, *path: str, **how: Any) -> httpx.Response:
        return self.http.request(method, "/".join((self.account, *path)), **how)

    def post(self, *path: str, **data: Any) -> httpx.Response:
        return self.ask("POST", *path, json={"data": data})

    def walked(self, vmbox_id: str | None, query: dict[str, Any]) -> list[Row]:
        """All rows, page by page; no page but the last is short."""
        path = ("messages",) if vmbox_id is None else (vmbox_id, "messages")
        rows: list[Row] = []
        while True:
            answer = self.ask("GET", *path, params=query)
            assert answer.status_code == 200, answer.text
            envelope = answer.json()
            result = envelope["data"]
            assert envelope["page_size"] == len(result)
            rows += result if vmbox_id else [row for item in result for row in item.values()]
            if "next_start_key" not in envelope:
                return rows
            assert len(result) == query["page_size"]
            query = {**query, "start_key": envelope["next_start_key"]}

    def a_box(self, data: st.DataObject) -> Box:
        return self.model.boxes[data.draw(st.sampled_from([*self.model.boxes]))]

    def a_message(self, data: st.DataObject) -> Message:
        return self.model.messages[data.draw(st.sampled_from([*self.model.messages]))]

    def a_choice(self, data: st.DataObject) -> tuple[str, list[str]]:
        """Returns a box, and ids: some in it, some in other boxes, some that do not exist."""
        known = [*self.model.messages, UNKNOWN, *(item for _, item in self.model.removed[-2:])]
        ids = st.lists(st.sampled_from(known), min_size=1, max_size=6, unique=True)
        return self.a_box(data).vmbox_id, data.draw(ids)

    def refused(
        self, vmbox_id: str, ids: list[str], *, expired: bool = True, pending: bool = False
    ) -> dict[str, str]:
        """Returns the reasons for which some of the ids must fail."""
        result = {}
        for media_id in ids:
            message = self.model.messages.get(media_id)
            if message is None or message.vmbox_id != vmbox_id:
                result[media_id] = "not_found"
            elif pending and not message.complete:
                result[media_id] = "no_audio"
            elif expired and message.expired:
                result[media_id] = "prior_to_retention_duration"
        return result

    def check_results(self, done: Any, ids: list[str], refused: dict[str, str]) -> list[str]:
        """Returns the ids that succeeded. All others must have failed with their reason."""
        succeeded = [media_id for media_id in ids if media_id not in refused]
        failed = [{media_id: refused[media_id]} for media_id in ids if media_id in refused]
        assert done == {"succeeded": succeeded, "failed": failed}
        return succeeded

    def arrived(self, old: Message, target: str, media_id: str, *, moved: bool) -> None:
        """Adds the copy of a message: in `new`, with the current time, addressed to its box."""
        box = self.model.boxes[target]
        said = {
            **{name: old.row[name] for name in ("from", "caller_id_number", "length")},
            "call_id": old.row["call_id"],
            "to": f"{box.mailbox}@{self.realm}",
            "folder": "new",
        }
        document = data_of(self.ask("GET", target, "messages", media_id))
        assert now() - 30 <= document["timestamp"] <= now()
        self.stored(target, document, said, complete=True)
        if moved:
            self.model.remove(old.media_id)

    def stored(self, vmbox_id: str, output: Row, said: Row, *, complete: bool) -> str:
        """Adds a stored message to the model and checks its document. Returns its id."""
        assert {name: output[name] for name in said} == {
            **said,
            **({"folder": "deleted"} if "retention" in output else {}),
        }
        names = ("timestamp", "from", "to", "caller_id_number", "caller_id_name", "call_id")
        row = {name: output[name] for name in (*names, "length", "media_id")}
        row["folder"] = said["folder"]
        message = Message(vmbox_id, row, complete)
        self.model.messages[message.media_id] = message
        return message.media_id
