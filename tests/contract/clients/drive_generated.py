"""Does the tour of the README with the client that `openapi-python-client` generates.

The package is `generated`, on PYTHONPATH. argv[1] is JSON. Prints what its callers get.
"""

import importlib
import io
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

import generated  # type: ignore[import-not-found]
from generated import models
from generated.api.audio import get_audio  # type: ignore[import-not-found]
from generated.api.boxes import create_vmbox, list_vmboxes  # type: ignore[import-not-found]
from generated.api.events import account_events  # type: ignore[import-not-found]
from generated.api.messages import (  # type: ignore[import-not-found]
    change_message,
    list_messages,
    remove_message,
    store_message,
)
from generated.types import File  # type: ignore[import-not-found]

GIVEN: dict[str, Any] = json.loads(sys.argv[1])
ACCOUNT: str = GIVEN["account_id"]
AUDIO = Path(GIVEN["audio"]).read_bytes()
CLIENT = generated.AuthenticatedClient(
    base_url=GIVEN["url"], token=GIVEN["token"], prefix="", auth_header_name="X-Auth-Token"
)


def import_all() -> int:
    """Imports every module of the package; returns their number."""
    names = [module.name for module in pkgutil.walk_packages(generated.__path__, "generated.")]
    for name in names:
        importlib.import_module(name)
    return len(names)


def upload() -> Any:
    data = models.NewMessage(caller_id_name="Ann", caller_id_number="+14155550123")
    return models.StoreMessageFilesBody(
        metadata=models.StoreMessageFilesBodyMetadata(data=data),
        audio=File(payload=io.BytesIO(AUDIO), file_name="tone.mp3", mime_type="audio/mpeg"),
    )


def new_box(name: str) -> Any:
    return models.CreateVmboxBody(data=models.NewVmbox(name=name, mailbox="3000"))


def tour() -> dict[str, Any]:
    start = account_events.sync(ACCOUNT, client=CLIENT).next_cursor
    box = create_vmbox.sync(ACCOUNT, client=CLIENT, body=new_box("Front desk")).data
    stored = store_message.sync(ACCOUNT, box.id, client=CLIENT, body=upload()).data
    filters = {"filter_mailbox": "3000", "filter_name": "Front desk"}
    boxes = list_vmboxes.sync(ACCOUNT, client=CLIENT, **filters).data
    others = list_vmboxes.sync(ACCOUNT, client=CLIENT, filter_mailbox="3001").data
    listed = list_messages.sync(ACCOUNT, box.id, client=CLIENT, page_size=10).data
    message = (ACCOUNT, box.id, stored.media_id)
    whole = get_audio.sync(*message, client=CLIENT)
    part = get_audio.sync_detailed(*message, client=CLIENT, range_="bytes=0-99")
    change = models.MessageChange(folder=models.MessageChangeFolder.SAVED)
    body = models.ChangeMessageBody(data=change)
    saved = change_message.sync(*message, client=CLIENT, body=body).data
    removed = remove_message.sync(*message, client=CLIENT).data
    gone = get_audio.sync(ACCOUNT, "0" * 32, stored.media_id, client=CLIENT)
    bad = create_vmbox.sync(ACCOUNT, client=CLIENT, body=new_box("Again"))
    events = account_events.sync(ACCOUNT, client=CLIENT, since=start).data
    return {
        "box": box.name,
        "boxes": [row.mailbox for row in boxes],
        "others": len(others),
        "listed": [row.caller_id_name for row in listed],
        "is_identical": whole.payload.read() == AUDIO,
        "part": [part.status_code, len(part.parsed.payload.read())],
        "saved": saved.folder,
        "removed": removed.folder,
        "gone": [gone.error, gone.message],
        "bad": [bad.error, list(bad.data.to_dict())],
        "events": [event.type_ for event in events],
    }


if __name__ == "__main__":
    assert import_all() > 100
    print(json.dumps(tour()))
