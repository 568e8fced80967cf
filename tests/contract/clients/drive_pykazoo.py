"""Drives `PyKazoo` against the service at argv[1] (JSON) and prints what its callers get."""

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

from pykazoo.client import PyKazooClient  # type: ignore[import-not-found]

GIVEN: dict[str, Any] = json.loads(sys.argv[1])
BASE = f"{GIVEN['url']}/v2"
ACCOUNT: str = GIVEN["account_id"]


def refused(call: Callable[[], Any]) -> Any:
    """Returns the type of the error that the library raises for a refusal, and its status."""
    try:
        return call()
    except (ValueError, PermissionError, RuntimeError) as error:
        return [type(error).__name__, str(error).split()[2]]


def sign_in(client: Any) -> dict[str, Any]:
    person = (GIVEN["username"], GIVEN["account_name"])
    auth = PyKazooClient(BASE).authentication
    result = {
        "user": auth.user_auth(person[0], GIVEN["password"], person[1])["data"],
        "wrong": refused(lambda: auth.user_auth(person[0], "other", person[1])),
        "unknown": refused(lambda: auth.api_auth("0" * 64)),
    }
    client.authentication.api_auth(GIVEN["api_key"])
    return {**result, "account_id": client.authentication.account_id}


def boxes(client: Any) -> dict[str, Any]:
    api = client.voicemailboxes
    made = api.create_voicemail_box(ACCOUNT, {"data": {"name": "Desk", "mailbox": "3000"}})
    box_id = made["data"]["id"]
    api.create_voicemail_box(ACCOUNT, {"data": {"name": "Door", "mailbox": "3001"}})
    change = {"data": {**made["data"], "name": "Front desk"}}
    return {
        "made": made,
        "updated": api.update_voicemail_box(ACCOUNT, box_id, change)["data"],
        "read": api.get_voicemail_box(ACCOUNT, box_id)["data"],
        "listed": api.get_voicemail_boxes(ACCOUNT),
        "filtered": api.get_voicemail_boxes(ACCOUNT, {"filter_mailbox": "3001"})["data"],
        "page": api.get_voicemail_boxes(ACCOUNT, {"page_size": 1}),
        "bad": refused(lambda: api.create_voicemail_box(ACCOUNT, {"data": {"name": "x"}})),
        "unknown": refused(lambda: api.get_voicemail_box(ACCOUNT, "0" * 32)),
    }


def messages(client: Any, box_id: str) -> dict[str, Any]:
    """Uses the request object, because the library has no functions for messages."""
    rest = client._rest_request
    path = f"accounts/{ACCOUNT}/vmboxes/{box_id}/messages"
    said = {"caller_id_number": "6001", "timestamp": GIVEN["timestamp"]}
    made = rest.put(path, {"data": said})["data"]
    sound = base64.b64encode(b"ID3 sound").decode()
    # It writes JSON, whatever the type: the text arrives in quotation marks.
    uri = f"data:audio/mpeg;base64,{sound}"
    raw = rest.put(f"{path}/{made['media_id']}/raw", uri, "application/x-base64")
    changed = rest.post(path, {"data": {"messages": [made["media_id"]], "folder": "saved"}})
    return {
        "made": made,
        "raw": raw["data"],
        "changed": changed["data"],
        "listed": rest.get(path, {"filter_folder": "saved"}),
        "none": rest.get(path, {"filter_folder": "new"})["data"],
        "one": rest.get(f"{path}/{made['media_id']}")["data"],
        "removed": rest.delete(path)["data"],
        "rest": rest.get(path)["data"],
    }


def greeting(client: Any) -> dict[str, Any]:
    made = client.media.create_media(ACCOUNT, {"data": {"name": "Closed"}})["data"]
    uri = "data:audio/mp3;base64," + base64.b64encode(b"ID3 closed").decode()
    sent = client.media.update_raw_media(ACCOUNT, made["id"], uri)
    client.media.delete_media(ACCOUNT, made["id"])
    return {"made": made, "sent": sent["data"]}


def main() -> None:
    client = PyKazooClient(BASE)
    result: dict[str, Any] = {"sign_in": sign_in(client), "boxes": boxes(client)}
    box_id = result["boxes"]["made"]["data"]["id"]
    result["messages"] = messages(client, box_id)
    result["greeting"] = greeting(client)
    result["end"] = client.voicemailboxes.delete_voicemail_box(ACCOUNT, box_id)["data"]
    print(json.dumps(result))


main()
