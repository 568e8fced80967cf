"""Rows of FusionPBX as records of an import."""

from typing import Any

from service.domain.message import Folder
from service.domain.schema import Document
from service.transfer.freeswitch.database import Row
from service.transfer.text import split_addresses

DOMAIN_COLUMNS = ("domain_uuid", "domain_name", "domain_description")
SETTING_COLUMNS = ("domain_uuid", "domain_setting_value")
BOX_COLUMNS = (
    "voicemail_uuid",
    "domain_uuid",
    "voicemail_id",
    "voicemail_password",
    "voicemail_mail_to",
    "voicemail_file",
    "voicemail_attach_file",
    "voicemail_local_after_email",
    "voicemail_transcription_enabled",
    "voicemail_tutorial",
    "voicemail_description",
    "greeting_id",
    # Without a field in the document; they are kept in `fusionpbx`.
    "voicemail_enabled",
    "voicemail_sms_to",
    "voicemail_alternate_greet_id",
)
OPTION_COLUMNS = (
    "voicemail_uuid",
    "voicemail_option_digits",
    "voicemail_option_action",
    "voicemail_option_param",
    "voicemail_option_order",
    "voicemail_option_description",
)
DESTINATION_COLUMNS = ("voicemail_uuid", "voicemail_uuid_copy")
GREETING_COLUMNS = (
    "voicemail_greeting_uuid",
    "domain_uuid",
    "voicemail_id",
    "greeting_id",
    "greeting_name",
    "greeting_filename",
    "greeting_description",
)
MESSAGE_COLUMNS = (
    "voicemail_message_uuid",
    "created_epoch",
    "read_epoch",
    "caller_id_name",
    "caller_id_number",
    "message_length",
    "message_status",
    "message_transcription",
)
_OTHER_COLUMNS = BOX_COLUMNS[-3:]
_STATUS = {"saved": Folder.SAVED, "deleted": Folder.DELETED}


def to_text(value: Any) -> str:
    """Returns a value of any type as text, empty for NULL."""
    return "" if value is None else str(value).strip()


def is_true(value: Any) -> bool:
    """Returns True for a flag, which is text in old releases and a boolean in new ones."""
    return to_text(value).lower() in ("true", "t", "1")


def box_document(row: Row, options: list[Row], copies: list[str]) -> Document:
    """Returns the document of a box. `copies` are the boxes that get a copy of each message."""
    number = to_text(row["voicemail_id"])
    file, attach = to_text(row["voicemail_file"]), to_text(row["voicemail_attach_file"])
    document: dict[str, Any] = {
        "name": to_text(row["voicemail_description"]) or number,
        "mailbox": number,
        "pin": to_text(row["voicemail_password"]),
        "notify_email_addresses": split_addresses(to_text(row["voicemail_mail_to"])),
        "include_message_on_notify": file == "attach" if file else attach.lower() != "false",
        "delete_after_notify": to_text(row["voicemail_local_after_email"]).lower() == "false",
        "transcribe": is_true(row["voicemail_transcription_enabled"]),
        # The tutorial is played until the user has set up the box.
        "is_setup": not is_true(row["voicemail_tutorial"]),
        "fusionpbx": {
            **{name: to_text(row[name]) for name in _OTHER_COLUMNS if to_text(row[name])},
            **({"options": [_option(option) for option in options]} if options else {}),
            **({"copies_to": copies} if copies else {}),
        },
    }
    return {name: value for name, value in document.items() if value != ""}


def folder_of(row: Row) -> Folder:
    """Returns the folder of a message: it is new until it was read or saved."""
    status = to_text(row["message_status"]).lower()
    is_read = to_text(row["read_epoch"]) not in ("", "0")
    return _STATUS.get(status, Folder.SAVED if is_read else Folder.NEW)


def _option(row: Row) -> Document:
    return {name: to_text(row[name]) for name in OPTION_COLUMNS[1:] if to_text(row[name])}
