"""Both dialects against one model: after each change in one, both show the same."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.contract.mailboxes import bare, dashed
from tests.support.running import RunningService, multipart

NAMES = st.sampled_from(["Ann", "Bob", "Zoë", "x" * 128])
PINS = st.none() | st.sampled_from(["0000", "1234"])
LONG_PINS = PINS | st.sampled_from(["12345", "654321"])
NUMBERS = st.sampled_from(["77", "1000", "1001", "01002", "*9"])
ADDRESSES = st.sampled_from(["a@example.com", "A@example.com", "b@example.com"])
FLAGS = {"beep": True, "play_caller_id": True, "play_timestamp": True, "transcribe": False}
MAILBOXES = st.fixed_dictionaries(
    {"name": NAMES}, optional={"password": PINS, **dict.fromkeys(FLAGS, st.booleans())}
)
# What the other dialect does not know, it does not check either.
LOOSE = {**dict.fromkeys(FLAGS, st.booleans() | st.just("odd")), "transcribe": st.booleans()}
VMBOXES = st.fixed_dictionaries(
    {"name": NAMES, "mailbox": NUMBERS},
    optional={
        "pin": LONG_PINS.filter(bool),
        "color": st.sampled_from(["red", "green"]),
        "notify_email_addresses": st.lists(ADDRESSES, max_size=3),
        **LOOSE,
    },
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES,
        "pin": LONG_PINS,
        "color": st.sampled_from(["blue"]) | st.none(),
        "notify_email_addresses": st.lists(ADDRESSES, max_size=3),
        **LOOSE,
    },
)
KNOWN = ("name", "mailbox", "pin", "color", "notify_email_addresses", *FLAGS)


class Box:
    """Model of a box: its document in the terms of the other dialect, and its messages."""

    def __init__(self, vmbox_id: str, document: dict[str, Any]) -> None:
        self.vmbox_id = vmbox_id
        self.document: dict[str, Any] = {}
        self.messages: list[str] = []
        self.replace(document)

    def replace(self, document: dict[str, Any]) -> None:
        defaults = {"notify_email_addresses": [], "transcribe": False}
        self.document = {**defaults, **document}

    def patch(self, changes: dict[str, Any]) -> None:
        merged = {**self.document, **changes}
        self.document = {key: value for key, value in merged.items() if value is not None}

    def put(self, mailbox: dict[str, Any]) -> None:
        kept = ("mailbox", "color", "notify_email_addresses")
        pin = {"pin": mailbox["password"]} if mailbox.get("password") else {}
        flags = {name: mailbox.get(name, default) for name, default in FLAGS.items()}
        self.document = {
            **{key: self.document[key] for key in kept if key in self.document},
            "name": mailbox["name"],
            **pin,
            **flags,
        }

    @property
    def number(self) -> str:
        number: str = self.document["mailbox"]
        return number.lstrip("0") if number.isdigit() else number

    def recipients(self) -> dict[str, str]:
        """Id -> address; the first spelling in the list counts."""
        result: dict[str, str] = {}
        for address in self.document["notify_email_addresses"]:
            result.setdefault(str(uuid5(UUID(self.vmbox_id), address.lower())), address)
        return result

    def mailbox(self) -> dict[str, Any]:
        """As the mailbox dialect shows it, without its dates."""
        flags = {
            name: value if isinstance(value := self.document.get(name), bool) else default
            for name, default in FLAGS.items()
        }
        return {
            "uuid": dashed(self.vmbox_id),
            "name": self.document["name"],
            "password": self.document.get("pin"),
            "greeting": None,
            "email_recipients": [*self.recipients()],
            **flags,
        }


class Dialects(RuleBasedStateMachine):
    """Clients of both dialects in one account."""

    boxes = Bundle("boxes")
    service: RunningService

    def __init__(self) -> None:
        super().__init__()
        self.known: list[Box] = []
        self.http = httpx.Client(base_url=self.service.url, timeout=30)
        self.account = self._account()

    def _account(self) -> str:
        """A new account below the root; from now on the client stands for it."""
        name = f"m{UUID(int=next(_COUNTER)).hex}{id(self):x}"
        root = {"X-Auth-Token": self.service.root_token}
        made = self.http.put(
            f"/v2/accounts/{self.service.root_id}",
            json={"data": {"name": name, "realm": f"{name}.example"}},
            headers=root,
        )
        account_id = made.json()["data"]["id"]
        self.http.headers.update({**root, "X-Auth-For": name})
        return f"/v2/accounts/{account_id}"

    def teardown(self) -> None:
        self.http.close()

    def _kazoo(self, method: str, *path: str, **how: Any) -> httpx.Response:
        return self.http.request(method, "/".join((self.account, "vmboxes", *path)), **how)

    def _voip(self, method: str, *path: str, **how: Any) -> httpx.Response:
        return self.http.request(method, "/".join(("/voip/mailbox", *path)), **how)

    def _free(self, number: str) -> bool:
        plain = number.lstrip("0") if number.isdigit() else number
        return plain not in {box.number for box in self.known}

    def _took(self, vmbox_id: str, document: dict[str, Any]) -> Box:
        box = Box(vmbox_id, document)
        self.known.append(box)
        return box

    @rule(target=boxes, mailbox=MAILBOXES)
    def make_mailbox(self, mailbox: dict[str, Any]) -> Any:
        if len(self.known) >= 4:
            return multiple()
        made = self._voip("POST", json=mailbox)
        assert made.status_code == 201, made.text
        number = next(str(n) for n in range(1000, 1010) if self._free(str(n)))
        box = self._took(bare(made.json()["result"]["uuid"]), {"mailbox": number, "name": ""})
        box.put(mailbox)
        return box

    @rule(target=boxes, document=VMBOXES)
    def make_vmbox(self, document: dict[str, Any]) -> Any:
        made = self._kazoo("PUT", json={"data": document})
        if not self._free(document["mailbox"]):
            assert made.status_code == 400
            return multiple()
        assert made.status_code == 201, made.text
        return self._took(made.json()["data"]["id"], document)

    @rule(box=boxes, mailbox=MAILBOXES)
    def replace_as_mailbox(self, box: Box, mailbox: dict[str, Any]) -> None:
        assert self._voip("PUT", box.vmbox_id, json=mailbox).status_code == 200
        box.put(mailbox)

    @rule(box=boxes, document=VMBOXES)
    def replace_as_vmbox(self, box: Box, document: dict[str, Any]) -> None:
        document = {**document, "mailbox": box.document["mailbox"]}
        assert self._kazoo("POST", box.vmbox_id, json={"data": document}).status_code == 200
        box.replace(document)

    @rule(box=boxes, changes=CHANGES)
    def patch(self, box: Box, changes: dict[str, Any]) -> None:
        assert self._kazoo("PATCH", box.vmbox_id, json={"data": changes}).status_code == 200
        box.patch(changes)

    @rule(box=boxes, address=ADDRESSES)
    def add_recipient(self, box: Box, address: str) -> None:
        known = box.recipients()
        answer = self._voip("POST", box.vmbox_id, "recipients", json={"email": address})
        recipient_id = answer.json()["result"]["uuid"]
        assert (answer.status_code == 200) == (recipient_id in known)
        if recipient_id not in known:
            box.document["notify_email_addresses"] = [
                *box.document["notify_email_addresses"],
                address,
            ]

    @rule(box=boxes, address=ADDRESSES)
    def remove_recipient(self, box: Box, address: str) -> None:
        recipient_id = str(uuid5(UUID(box.vmbox_id), address.lower()))
        there = recipient_id in box.recipients()
        answer = self._voip("DELETE", box.vmbox_id, "recipients", recipient_id)
        assert answer.status_code == (204 if there else 404)
        addresses = box.document["notify_email_addresses"]
        kept = [item for item in addresses if item.lower() != address.lower()]
        box.document["notify_email_addresses"] = kept

    @rule(box=boxes)
    def leave_message(self, box: Box) -> None:
        left = self._kazoo("PUT", box.vmbox_id, "messages", **multipart(b"x", "audio/mpeg", {}))
        box.messages.append(left.json()["data"]["media_id"])

    @rule(box=boxes, in_kazoo=st.booleans())
    def remove_message(self, box: Box, in_kazoo: bool) -> None:
        if box.messages:
            how = self._kazoo if in_kazoo else self._voip
            answer = how("DELETE", box.vmbox_id, "messages", box.messages.pop())
            assert answer.status_code == (200 if in_kazoo else 204)

    @rule(box=consumes(boxes), in_kazoo=st.booleans())
    def delete(self, box: Box, in_kazoo: bool) -> None:
        how = self._kazoo if in_kazoo else self._voip
        assert how("DELETE", box.vmbox_id).status_code == (200 if in_kazoo else 204)
        self.known.remove(box)
        assert self._kazoo("GET", box.vmbox_id).status_code == 404
        assert self._voip("GET", box.vmbox_id).status_code == 404

    @invariant()
    def mailboxes_equal_the_model(self) -> None:
        output = self._voip("GET").json()["result"]
        for mailbox in output:
            assert mailbox.pop("created_on") <= mailbox.pop("updated_on")
            mailbox["email_recipients"] = [item["uuid"] for item in mailbox["email_recipients"]]
        expected = sorted(self.known, key=lambda box: (box.document["name"], box.vmbox_id))
        assert output == [box.mailbox() for box in expected]

    @invariant()
    def vmboxes_equal_the_model(self) -> None:
        rows = self._kazoo("GET").json()["data"]
        assert {row["id"]: row["messages"] for row in rows} == {
            box.vmbox_id: len(box.messages) for box in self.known
        }
        if self.known:
            box = self.known[-1]
            document = self._kazoo("GET", box.vmbox_id).json()["data"]
            known = {key: document[key] for key in KNOWN if key in document}
            assert known == box.document
            messages = self._voip("GET", box.vmbox_id, "messages").json()["result"]
            assert {message["uuid"] for message in messages} == set(box.messages)


def _counted() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_COUNTER = _counted()


def _run(service: RunningService, **how: Any) -> None:
    machine = type("Running", (Dialects,), {"service": service})
    run_state_machine_as_test(
        machine,
        settings=settings(
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **how,
        ),
    )


async def test_both_dialects_show_the_same_data(service: RunningService) -> None:
    _run(service, max_examples=6, stateful_step_count=25, derandomize=True)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_both_dialects_show_the_same_data_after_many_steps(service: RunningService) -> None:
    _run(service, max_examples=120, stateful_step_count=50)
