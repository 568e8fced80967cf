"""Drives `kazoo-sdk` against the service at argv[1] (JSON) and prints what its callers get."""

import json
import sys
from collections.abc import Callable
from typing import Any

import kazoo  # type: ignore[import-not-found]
from kazoo.exceptions import (  # type: ignore[import-not-found]
    KazooApiAuthenticationError,
    KazooApiBadDataError,
    KazooApiError,
)
from kazoo.request_objects import KazooRequest  # type: ignore[import-not-found]

GIVEN: dict[str, Any] = json.loads(sys.argv[1])
BASE = f"{GIVEN['url']}/v2"
ACCOUNT: str = GIVEN["account_id"]


def refused(call: Callable[[], Any]) -> Any:
    """Returns the error that the library raises for a refusal."""
    try:
        return call()
    except KazooApiBadDataError as error:
        return error.field_errors
    except (KazooApiAuthenticationError, KazooApiError) as error:
        return type(error).__name__


def sign_in() -> dict[str, Any]:
    person = {name: GIVEN[name] for name in ("username", "password", "account_name")}
    as_user = kazoo.Client(base_url=BASE, **person)
    wrong = kazoo.Client(base_url=BASE, **{**person, "password": "other"})
    as_user.authenticate()
    return {
        "user": as_user.auth_data["data"],
        "wrong": refused(wrong.authenticate),
        "unknown": refused(kazoo.Client(base_url=BASE, api_key="0" * 64).authenticate),
    }


def boxes(client: Any) -> dict[str, Any]:
    made = client.create_voicemail_box(ACCOUNT, {"name": "Desk", "mailbox": "3000"})
    box_id = made["data"]["id"]
    client.create_voicemail_box(ACCOUNT, {"name": "Door", "mailbox": "3001", "pin": "0012"})
    change = {**made["data"], "name": "Front desk"}
    updated = client.update_voicemail_box(ACCOUNT, box_id, change)
    by_number = KazooRequest(
        "/accounts/{account_id}/vmboxes", get_params={"filter_mailbox": "3001"}
    )
    return {
        "made": made,
        "updated": updated["data"],
        "read": client.get_voicemail_box(ACCOUNT, box_id)["data"],
        "listed": client.get_voicemail_boxes(ACCOUNT),
        "filtered": client._execute_request(by_number, account_id=ACCOUNT)["data"],
        "bad": refused(
            lambda: client.create_voicemail_box(ACCOUNT, {"name": "x", "mailbox": "3000"})
        ),
        "unknown": refused(lambda: client.get_voicemail_box(ACCOUNT, "0" * 32)),
    }


def messages(client: Any, box_id: str) -> dict[str, Any]:
    path = f"/accounts/{ACCOUNT}/vmboxes/{box_id}/messages"
    said = {"data": {"caller_id_number": "6001"}}
    pending = client.manual_request(path, "put", data=said)[1]["media_id"]
    sound = b"ID3 sound"
    audio = {"Content-Type": "audio/mpeg"}
    raw = client.manual_request(f"{path}/{pending}/raw", "put", audio, sound)
    # Without a type of its own, `requests` writes that of a form.
    form = {
        "metadata": ("message.json", json.dumps(said), "application/json"),
        "voice": ("voice.mp3", sound, "audio/mp3"),
    }
    whole = client.manual_request(path, "put", {"Content-Type": None}, files=form)
    ids = [pending, whole[1]["media_id"]]
    change = {"data": {"messages": ids, "folder": "saved"}}
    filed = client.manual_request(path, "post", data=change)
    result = {
        "raw": raw,
        "whole": whole,
        "filed": filed,
        "saved": client.manual_request(f"{path}?filter_folder=saved")[1],
        "one": client.manual_request(f"{path}/{pending}"),
        "removed": client.manual_request(f"{path}/{pending}", "delete"),
        "rest": client.manual_request(path)[1],
    }
    failed, answer = client.manual_request(f"{path}/{pending}")
    return {**result, "gone": [failed, answer.json()["message"]]}


def after_revocation(client: Any, box_id: str) -> Any:
    """Signs in again by itself when its token has ended."""
    old = client.auth_token
    client.manual_request("/token_auth", "delete")
    deleted = client.delete_voicemail_box(ACCOUNT, box_id)
    return {"deleted": deleted["data"], "renewed": client.auth_token != old}


def main() -> None:
    result: dict[str, Any] = {"sign_in": sign_in()}
    client = kazoo.Client(base_url=BASE, api_key=GIVEN["api_key"])
    client.authenticate()
    result["boxes"] = boxes(client)
    box_id = result["boxes"]["made"]["data"]["id"]
    result["messages"] = messages(client, box_id)
    result["end"] = after_revocation(client, box_id)
    print(json.dumps(result))


main()
