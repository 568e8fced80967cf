"""Parameters and response headers of this dialect."""

from service.api.description.openapi.fields import Json
from service.api.kazoo.dependencies import MAX_KEY
from service.api.kazoo.openapi import samples
from service.api.kazoo.openapi.schemas import FOLDERS, HEX_ID, MESSAGE_ID
from service.api.kazoo.profiles import PROFILES
from service.api.kazoo.query import DEFAULT_PAGE, LARGEST_LIST, LARGEST_PAGE

PAGES = ("paginate", "page_size", "start_key", "ascending", "descending", "if_none_match")
FILTERS = ("filters", "has_key", "key_missing", "has_value", "value_missing")
CREATED = ("created_from", "created_to")
RANGES = ("range", "if_range", "if_match", "if_none_match")
AUDIO_HEADERS = ("ETag", "Accept-Ranges", "Content-Disposition")
LIST = (*PAGES, *FILTERS, *CREATED, "modified_from", "modified_to")

_FLAG: Json = {"type": "boolean"}
_SECONDS: Json = {"type": "integer", "minimum": 1}
_TEXT: Json = {"type": "string"}


def parameters() -> Json:
    """All of them by name."""
    return {**_path(), **_pages(), **_filters(), **_other(), **_headers()}


def response_headers() -> Json:
    """The headers of answers by name."""
    described = {
        "X-Request-ID": "The request's own, or one that was made for it",
        "Location": "The path of what was created",
        "ETag": "Of this revision of a box, or of this audio",
        "Accept-Ranges": "Audio comes in byte ranges",
        "Content-Range": "The range, and the size of the whole",
        "Content-Disposition": "A file name: caller, date and time",
        "Retry-After": "Seconds after which it may succeed",
    }
    headers: Json = {
        name: {"description": text, "schema": _TEXT, "required": True}
        for name, text in described.items()
    }
    # A key in use comes with it, other conflicts do not.
    headers["Retry-After"]["required"] = False
    return headers


def header_refs(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _in(
    place: str, name: str, schema: Json, text: str, example: object = None, **more: object
) -> Json:
    parameter = {"name": name, "in": place, "schema": schema, "description": text, **more}
    return parameter if example is None else {**parameter, "example": example}


def _path() -> Json:
    return {
        "account_id": _in(
            "path", "account_id", HEX_ID, "The account", samples.ACCOUNT_ID, required=True
        ),
        "vmbox_id": _in("path", "vmbox_id", HEX_ID, "The box", samples.VMBOX_ID, required=True),
        "user_id": _in("path", "user_id", HEX_ID, "The user", samples.OWNER_ID, required=True),
        "media_id": _in(
            "path", "media_id", HEX_ID, "The greeting", samples.MEDIA_ID, required=True
        ),
        "webhook_id": _in(
            "path", "webhook_id", HEX_ID, "The webhook", samples.WEBHOOK_ID, required=True
        ),
        "token": _in("path", "token", _TEXT, "The token of the request", required=True),
        "message_id": _in(
            "path", "message_id", MESSAGE_ID, "The message", samples.MESSAGE_ID, required=True
        ),
    }


def _pages() -> Json:
    return {
        "paginate": _in(
            "query", "paginate", _FLAG, f"`false` asks for everything, up to {LARGEST_LIST} rows"
        ),
        "page_size": _in(
            "query",
            "page_size",
            {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": DEFAULT_PAGE},
            "How many rows",
        ),
        "start_key": _in("query", "start_key", _TEXT, "`next_start_key` of the page before"),
        "ascending": _in("query", "ascending", _FLAG, "From the first to the last"),
        "descending": _in("query", "descending", _FLAG, "From the last to the first"),
        "created_from": _in(
            "query",
            "created_from",
            _SECONDS,
            "Since when, in Gregorian seconds, inclusive. Other values are ignored",
        ),
        "created_to": _in("query", "created_to", _SECONDS, "Until when, likewise"),
        "modified_from": _in("query", "modified_from", _SECONDS, "Changed since when, likewise"),
        "since": _in("query", "since", _TEXT, "The cursor to go on from"),
        "last_event_id": _in("header", "Last-Event-ID", _TEXT, "Likewise, as browsers send it"),
        "modified_to": _in("query", "modified_to", _SECONDS, "Changed until when, likewise"),
    }


def _filters() -> Json:
    return {
        "filters": _in(
            "query",
            "filters",
            {"type": "object", "additionalProperties": _TEXT},
            "`filter_<path>=value` and `filter_not_<path>=value`: the value at a dotted path of "
            "a row's document is, or is not, this one. All filters must hold",
            style="form",
            explode=True,
        ),
        "has_key": _in("query", "has_key", _TEXT, "There is something at this dotted path"),
        "key_missing": _in("query", "key_missing", _TEXT, "There is nothing at this path"),
        "has_value": _in("query", "has_value", _TEXT, "What is at this path is not empty"),
        "value_missing": _in(
            "query", "value_missing", _TEXT, "Nothing is at this path, or it is empty"
        ),
    }


def _other() -> Json:
    return {
        "profile": _in(
            "query",
            "profile",
            {"type": "string", "enum": list(PROFILES)},
            "How times, lengths and rows are spelled; else as the account's `wire_profile` says",
        ),
        "folder": _in(
            "query",
            "folder",
            {"type": "string", "enum": FOLDERS},
            "The folder. What the body says comes first",
        ),
        "filter_folder": _in(
            "query",
            "filter_folder",
            {"type": "string", "enum": FOLDERS},
            "Messages of this folder; `folder` means the same",
        ),
        "filename": _in("query", "filename", _TEXT, "A name for the upload"),
    }


def _headers() -> Json:
    key = {"type": "string", "pattern": "^[ -~]+$", "minLength": 1, "maxLength": MAX_KEY}
    return {
        "request_id": _in(
            "header", "X-Request-ID", _TEXT, "An id for this request; the answer repeats it"
        ),
        "auth_account_id": _in(
            "header",
            "X-Auth-Account-ID",
            _TEXT,
            "When it is there, the token must be one of this account",
        ),
        "if_match": _in("header", "If-Match", _TEXT, "Only while what is there bears this ETag"),
        "if_none_match": _in(
            "header", "If-None-Match", _TEXT, "304 when what one has bears this ETag"
        ),
        "range": _in("header", "Range", _TEXT, "`bytes=a-b`, `bytes=a-` or `bytes=-n`"),
        "if_range": _in("header", "If-Range", _TEXT, "The range only of this ETag, else all"),
        "idempotency_key": _in(
            "header",
            "Idempotency-Key",
            key,
            "The same key and content give the first answer again for 24 hours",
        ),
    }
