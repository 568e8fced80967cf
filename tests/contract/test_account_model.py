"""One account against a model of it: after every step lists and counts are those of the model."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.contract.account_model import DAY, FILTERS, FOLDERS, WINDOWS, Box, Modelled, Row, now
from tests.support.running import RunningService, data_of, multipart

# Four months that are kept, moments that many messages share, some that are over, one to come.
AGES = (60, 3_600, 3_600, 5 * DAY, 5 * DAY, 33 * DAY, 62 * DAY, 92 * DAY, 95 * DAY, 130 * DAY)
WHEN = st.sampled_from((*AGES, -3_600))
FOLDER = st.sampled_from(FOLDERS)
CALLERS = st.sampled_from(("6001", "6002"))
SAID = st.fixed_dictionaries(
    {
        "age": WHEN,
        "folder": FOLDER,
        "caller_id_number": CALLERS,
        "audio": st.sampled_from((True, True, True, False)),
    }
)
NAMES = st.sampled_from(("A", "B", "a", "Zoë"))
MOST_BOXES = 3


class OneAccount(Modelled):
    """Actions of a client of one account, in any order."""

    # Boxes

    @initialize(name=NAMES, messages=st.lists(SAID, min_size=5, max_size=8))
    def begin(self, name: str, messages: list[Row]) -> None:
        """Creates a box with messages, because a few steps would rarely create as many."""
        self.make_box(name)
        (vmbox_id,) = self.model.boxes
        for said in messages:
            self._store(vmbox_id, said)

    @precondition(lambda self: len(self.model.boxes) < MOST_BOXES)
    @rule(name=NAMES)
    def make_box(self, name: str) -> None:
        mailbox = str(next(self.numbers))
        made = self.ask("PUT", json={"data": {"name": name, "mailbox": mailbox}})
        vmbox_id = data_of(made, 201)["id"]
        self.model.boxes[vmbox_id] = Box(vmbox_id, name, mailbox)

    @rule(data=st.data(), name=NAMES, limit=st.sampled_from((0, 0, 2, 4)))
    def change_box(self, data: st.DataObject, name: str, limit: int) -> None:
        box = self.a_box(data)
        change = {"data": {"name": name, "max_message_count": limit}}
        data_of(self.ask("PATCH", box.vmbox_id, json=change))
        box.name, box.limit = name, limit

    @precondition(lambda self: len(self.model.boxes) > 1)
    @rule(data=st.data())
    def delete_box(self, data: st.DataObject) -> None:
        box = self.a_box(data)
        data_of(self.ask("DELETE", box.vmbox_id))
        self.model.delete_box(box.vmbox_id)
        assert self.ask("GET", box.vmbox_id, "messages").status_code == 404

    # New messages

    @rule(data=st.data(), said=SAID)
    def store(self, data: st.DataObject, said: Row) -> None:
        self._store(self.a_box(data).vmbox_id, said)

    @rule(data=st.data(), messages=st.lists(SAID, min_size=2, max_size=3))
    def store_several(self, data: st.DataObject, messages: list[Row]) -> None:
        for said in messages:
            self._store(self.a_box(data).vmbox_id, said)

    @rule(data=st.data(), said=SAID)
    def store_twice(self, data: st.DataObject, said: Row) -> None:
        """A repeated request with the same key returns the same message."""
        vmbox_id, key = self.a_box(data).vmbox_id, uuid4().hex
        media_id = self._store(vmbox_id, said, key)
        if media_id is not None:
            again = self._send(vmbox_id, said, key)
            assert data_of(again, 201)["media_id"] == media_id

    def _store(self, vmbox_id: str, said: Row, key: str | None = None) -> str | None:
        """The id of the new message; None when the box is full."""
        full = self.model.is_full(vmbox_id)
        answer = self._send(vmbox_id, said, key)
        if full:
            assert answer.status_code == 409
            return None
        document = data_of(answer, 201)
        expected = {**said, "timestamp": self.begun - said["age"]}
        if said["age"] < 0:
            assert now() - 30 <= document["timestamp"] <= now()
            expected["timestamp"] = document["timestamp"]
        complete = expected.pop("audio")
        del expected["age"]
        return self.stored(vmbox_id, document, expected, complete=complete)

    def _send(self, vmbox_id: str, said: Row, key: str | None) -> httpx.Response:
        data = {name: said[name] for name in ("folder", "caller_id_number")}
        data["timestamp"] = self.begun - said["age"]
        body = (
            multipart(b"sound", "audio/mpeg", data) if said["audio"] else {"json": {"data": data}}
        )
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.ask("PUT", vmbox_id, "messages", **body, headers=headers)

    @precondition(lambda self: self.model.messages)
    @rule(data=st.data())
    def attach_audio(self, data: st.DataObject) -> None:
        message = self.a_message(data)
        path = (message.vmbox_id, "messages", message.media_id, "raw")
        full = self.model.is_full(message.vmbox_id)
        upload = {"content": b"sound", "headers": {"Content-Type": "audio/mp3"}}
        answer = self.ask("PUT", *path, **upload)
        if message.complete and message.expired:
            assert answer.status_code == 400
        elif not message.complete and full:
            assert answer.status_code == 409
        else:
            assert data_of(answer, 201)["media_id"] == message.media_id
            message.complete = True
            assert self.ask("GET", *path).content == b"sound"

    # Messages that change their folder

    @precondition(lambda self: self.model.messages)
    @rule(data=st.data(), folder=FOLDER | st.none())
    def file(self, data: st.DataObject, folder: str | None) -> None:
        message = self.a_message(data)
        wish = {} if folder is None else {"folder": folder}
        answer = self.post(message.vmbox_id, "messages", message.media_id, **wish)
        if message.expired:
            assert list(answer.json()["data"]) == [message.media_id]
            return
        message.row["folder"] = folder or "saved"
        assert data_of(answer)["folder"] == message.row["folder"]

    @rule(data=st.data(), folder=FOLDER)
    def file_many(self, data: st.DataObject, folder: str) -> None:
        vmbox_id, ids = self.a_choice(data)
        done = data_of(self.post(vmbox_id, "messages", messages=ids, folder=folder))
        refused = self.refused(vmbox_id, ids)
        for media_id in self.check_results(done, ids, refused):
            self.model.messages[media_id].row["folder"] = folder

    # Messages that go

    @precondition(lambda self: self.model.messages)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        message = self.a_message(data)
        answer = self.ask("DELETE", message.vmbox_id, "messages", message.media_id)
        assert data_of(answer)["folder"] == "deleted"
        self.model.remove(message.media_id)

    @rule(data=st.data())
    def remove_many(self, data: st.DataObject) -> None:
        vmbox_id, ids = self.a_choice(data)
        body = {"data": {"messages": ids}}
        done = data_of(self.ask("DELETE", vmbox_id, "messages", json=body))
        refused = self.refused(vmbox_id, ids, expired=False)
        for media_id in self.check_results(done, ids, refused):
            self.model.remove(media_id)

    @rule(data=st.data(), folder=FOLDER | st.none())
    def remove_all(self, data: st.DataObject, folder: str | None) -> None:
        vmbox_id = self.a_box(data).vmbox_id
        query = {} if folder is None else {"folder": folder}
        done = data_of(self.ask("DELETE", vmbox_id, "messages", params=query))
        gone = {
            item.media_id
            for item in self.model.of(vmbox_id)
            if folder in (None, item.row["folder"])
        }
        assert (set(done["succeeded"]), done["failed"]) == (gone, [])
        for media_id in gone:
            self.model.remove(media_id)

    @precondition(lambda self: self.model.removed)
    @rule(data=st.data())
    def use_removed_objects(self, data: st.DataObject) -> None:
        vmbox_id, media_id = data.draw(st.sampled_from(self.model.removed))
        path = (vmbox_id, "messages", media_id)
        for answer in (
            self.ask("GET", *path),
            self.ask("GET", *path, "raw"),
            self.post(*path, folder="new"),
            self.ask("DELETE", *path),
        ):
            assert answer.status_code == 404

    # Messages that appear in other boxes

    @precondition(lambda self: self.model.messages)
    @rule(data=st.data(), moved=st.booleans())
    def transfer(self, data: st.DataObject, moved: bool) -> None:
        message, target = self.a_message(data), self.a_box(data).vmbox_id
        wish = target if moved else [target]
        answer = self.post(message.vmbox_id, "messages", message.media_id, source_id=wish)
        if not message.complete:
            assert answer.status_code == 409
        elif message.expired:
            assert answer.status_code == 400
        else:
            done = data_of(answer)
            media_id = done["media_id"] if moved else done["succeeded"][0]
            self.arrived(message, target, media_id, moved=moved)

    @rule(data=st.data(), moved=st.booleans())
    def transfer_many(self, data: st.DataObject, moved: bool) -> None:
        vmbox_id, ids = self.a_choice(data)
        targets = [self.a_box(data).vmbox_id]
        if not moved:
            targets = list(dict.fromkeys([*targets, self.a_box(data).vmbox_id]))
        wish = targets[0] if moved else targets
        done = data_of(self.post(vmbox_id, "messages", messages=ids, source_id=wish))
        refused = self.refused(vmbox_id, ids, pending=True)
        pairs = [(item, target) for item in ids if item not in refused for target in targets]
        failed = [{item: refused[item]} for item in ids if item in refused for _ in targets]
        assert done["failed"] == failed
        assert len(done["succeeded"]) == len(pairs)
        for (old, target), media_id in zip(pairs, done["succeeded"], strict=True):
            self.arrived(self.model.messages[old], target, media_id, moved=moved)

    # What must hold

    @invariant()
    def boxes_and_their_counts_are_those_of_the_model(self) -> None:
        assert data_of(self.ask("GET")) == self.model.rows()

    @invariant()
    def lists_are_those_of_the_model(self) -> None:
        for vmbox_id in self.model.boxes:
            document = data_of(self.ask("GET", vmbox_id, "messages", params={"paginate": "false"}))
            assert document == [row.to_row() for row in self.model.listed(vmbox_id)]
        everywhere = data_of(self.ask("GET", "messages", params={"paginate": "false"}))
        assert everywhere == [{row.vmbox_id: row.to_row()} for row in self.model.listed(None)]

    @invariant()
    def filtered_pages_equal_the_model(self) -> None:
        """A step looks at one filter, one window, one size of page and one direction."""
        self.step += 1
        query, keep = FILTERS[self.step % len(FILTERS)]
        before, after = WINDOWS[self.step % len(WINDOWS)]
        moment = now()
        since, until = (None if span is None else moment - span for span in (before, after))
        window = {"created_from": since, "created_to": until}
        named = {name: value for name, value in window.items() if value is not None}
        boxes = [*self.model.boxes, None]
        vmbox_id = boxes[self.step % len(boxes)]
        expected = self.model.listed(vmbox_id, keep, since, until)
        parameters: dict[str, Any] = {**query, **named, "page_size": 1 + self.step % 4}
        if self.step % 3 == 0:
            expected.reverse()
            parameters["ascending"] = "true"
        note(f"{parameters} {vmbox_id}")
        assert self.walked(vmbox_id, parameters) == [item.to_row() for item in expected]


def _run(service: RunningService, **how: Any) -> None:
    machine = type("Running", (OneAccount,), {"service": service})
    run_state_machine_as_test(
        machine,
        settings=settings(
            deadline=None, database=None, suppress_health_check=list(HealthCheck), **how
        ),
    )


async def test_lists_and_counts_are_those_of_the_model(service: RunningService) -> None:
    _run(service, max_examples=8, stateful_step_count=30, derandomize=True, phases=[Phase.generate])


@pytest.mark.long
@pytest.mark.timeout(3000)
async def test_lists_and_counts_are_those_of_the_model_for_long(service: RunningService) -> None:
    _run(service, max_examples=100, stateful_step_count=60)
