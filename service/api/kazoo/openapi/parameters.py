"""Parameters and response headers of this dialect."""

from collections.abc import Iterable

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import struct_schemas
from service.api.kazoo.dependencies import MAX_KEY
from service.api.kazoo.openapi import sample_requests
from service.api.kazoo.openapi.schemas import FOLDERS, HEX_ID, MESSAGE_ID
from service.api.kazoo.pages import DEFAULT_PAGE, LARGEST_LIST, LARGEST_PAGE
from service.api.kazoo.profiles import PROFILES
from service.api.kazoo.waveforms import DEFAULT_POINTS
from service.domain.media import MAX_POINTS
from service.domain.rendition import RenditionFormat
from service.domain.search import MAX_QUERY, MAX_TERMS

PAGES = ("paginate", "page_size", "start_key", "ascending", "descending", "if_none_match")
CREATED = ("created_from", "created_to")
RANGES = ("range", "if_range", "if_match", "if_none_match")
AUDIO = (*RANGES, "redirect", "format")
AUDIO_HEADERS = ("ETag", "Accept-Ranges", "Content-Disposition")

_FILTER = "filter_"
_PATH_FILTERS = ("has_key", "key_missing", "has_value", "value_missing")

_FLAG: Json = {"type": "boolean"}
# Generators do not support alternatives in a query.
_TIME: Json = {"type": "string", "pattern": "^([0-9]{8,12}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ].+)$"}
_TEXT: Json = {"type": "string"}

_FOLDER = {"type": "string", "enum": FOLDERS}
_PROFILE = {"type": "string", "enum": list(PROFILES)}
_PAGE_SIZE = {
    "type": "integer",
    "minimum": 1,
    "maximum": LARGEST_PAGE,
    "default": DEFAULT_PAGE,
}
# Type and description of the query parameters.
_QUERY: dict[str, tuple[Json, str]] = {
    "paginate": (_FLAG, f"`false` requests the complete list, up to {LARGEST_LIST} rows"),
    "page_size": (_PAGE_SIZE, "The maximum number of rows"),
    "q": (
        {"type": "string", "maxLength": MAX_QUERY},
        f"Selects messages that contain all terms, at most {MAX_TERMS}: words, phrases in "
        "quotation marks, and numbers or their first or last digits. They are searched in the "
        "name and number of the caller, the transcription and the name of the box. A page "
        "may be short or empty and still have `next_start_key`",
    ),
    "start_key": (_TEXT, "`next_start_key` of the previous page"),
    "ascending": (_FLAG, "`true` sorts from the first to the last"),
    "descending": (_FLAG, "`true` sorts from the last to the first"),
    "created_from": (
        _TIME,
        "Earliest creation, inclusive: Gregorian seconds or an ISO-8601 time",
    ),
    "created_to": (_TIME, "Latest creation, in the same format"),
    "modified_from": (_TIME, "Earliest modification, in the same format"),
    "modified_to": (_TIME, "Latest modification, in the same format"),
    "action": (_TEXT, "Selects records of this action"),
    "user": (HEX_ID, "Selects records of this user; for an API key, the id of its account"),
    "vmbox": (HEX_ID, "Selects records of this box"),
    "message": (MESSAGE_ID, "Selects records of this message"),
    "event": (
        {"type": "string", "enum": ["message"]},
        "The name of all events of a stream, for `onmessage` of EventSource. Without it, the "
        "name of an event is its type",
    ),
    "since": (_TEXT, "The cursor after which events are returned"),
    "has_key": (_TEXT, "The document has a value at this dotted path"),
    "key_missing": (_TEXT, "The document has no value at this path"),
    "has_value": (_TEXT, "The value at this path is not empty"),
    "value_missing": (_TEXT, "The value at this path is absent or empty"),
    "profile": (
        _PROFILE,
        "The format of times, lengths and rows; the default is `wire_profile` of the account",
    ),
    "folder": (_FOLDER, "The folder. A folder in the body takes precedence"),
    "filter_folder": (_FOLDER, "Selects messages in this folder; `folder` is an alias"),
    "filename": (_TEXT, "The name of the upload"),
    "dry_run": (
        _FLAG,
        "`true` changes nothing: the response is the document as it would be, with the number "
        "of messages by folder that its retention would remove, in `_dry_run`",
    ),
    "busy": (_FLAG, "`true` prefers the greeting for a busy line"),
    "erase": (_FLAG, "`true` erases all data of the account at once"),
    "format": (
        {"type": "string", "enum": [target.value for target in RenditionFormat]},
        "The format of the audio, which is converted; the default is the stored format",
    ),
    "points": (
        {"type": "integer", "minimum": 1, "maximum": MAX_POINTS, "default": DEFAULT_POINTS},
        "The number of parts of a waveform",
    ),
    "redirect": (
        _FLAG,
        "`true` redirects to the audio store; the default is `redirect_audio` of the account",
    ),
}


def list_of(row: type) -> tuple[str, ...]:
    """Returns the parameters of a list of documents."""
    return (*PAGES, *filters_of(row), *CREATED, "modified_from", "modified_to")


def filters_of(row: type) -> tuple[str, ...]:
    """Returns the filters of a list: those by path, and one for each text of a row.

    Generators cannot write an object of filters, so the filters by text are described by name.
    """
    properties: Json = struct_schemas([row], {})[row.__name__]["properties"]
    texts = (
        name
        for name, schema in properties.items()
        if schema.get("type") == "string" and not schema.keys() & {"pattern", "format"}
    )
    return (*(f"{_FILTER}{name}" for name in texts), *_PATH_FILTERS)


def parameters(operations: Iterable[Operation]) -> Json:
    """All parameters by name; the filters by text are those of the operations."""
    named = {name for operation in operations for name in operation.parameters}
    filters = {name: _filter(name) for name in sorted(named) if name.startswith(_FILTER)}
    return {**filters, **_path(), **_query(), **_headers()}


def _filter(name: str) -> Json:
    field = name.removeprefix(_FILTER)
    return _in("query", name, _TEXT, f"Selects rows whose `{field}` is this value")


def response_headers() -> Json:
    """Response headers by name."""
    descriptions = {
        "X-Request-ID": "The id of the request, from the request or generated",
        "Location": "The path of the new resource, or the URL of the audio",
        "ETag": "The version of the box, the list or the audio",
        "Accept-Ranges": "Byte ranges are supported",
        "Content-Range": "The range, and the complete size",
        "Content-Disposition": "A file name: caller, date and time",
        "Retry-After": "Seconds to wait before a retry",
    }
    headers: Json = {
        name: {"description": description, "schema": _TEXT, "required": True}
        for name, description in descriptions.items()
    }
    # Of the conflicts only a key in use has it.
    headers["Retry-After"]["required"] = False
    return headers


def header_refs(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _in(
    place: str, name: str, schema: Json, description: str, example: object = None, **extras: object
) -> Json:
    parameter = {"name": name, "in": place, "schema": schema, "description": description, **extras}
    return parameter if example is None else {**parameter, "example": example}


def _path() -> Json:
    ids = {
        "account_id": ("The account", HEX_ID, sample_requests.ACCOUNT_ID),
        "vmbox_id": ("The box", HEX_ID, sample_requests.VMBOX_ID),
        "user_id": ("The user", HEX_ID, sample_requests.OWNER_ID),
        "media_id": ("The greeting", HEX_ID, sample_requests.MEDIA_ID),
        "webhook_id": ("The webhook", HEX_ID, sample_requests.WEBHOOK_ID),
        "erasure_id": ("The erasure", HEX_ID, sample_requests.WEBHOOK_ID),
        "hold_id": ("The legal hold", HEX_ID, sample_requests.WEBHOOK_ID),
        "export_id": ("The export", HEX_ID, sample_requests.WEBHOOK_ID),
        "key_id": ("The API key", HEX_ID, sample_requests.WEBHOOK_ID),
        "message_id": ("The message", MESSAGE_ID, sample_requests.MESSAGE_ID),
        "token": ("The token of the request", _TEXT, None),
        "link_token": ("The token of a recording link", _TEXT, None),
        "schema_name": ("The name of a schema", _TEXT, "vmboxes"),
    }
    return {
        name: _in("path", name, schema, description, example, required=True)
        for name, (description, schema, example) in ids.items()
    }


def _query() -> Json:
    described = {name: _in("query", name, *parts) for name, parts in _QUERY.items()}
    session = "The token of a session; without it, the token of the request"
    return {**described, "token_of_session": _in("query", "token", _TEXT, session)}


def _headers() -> Json:
    key = {"type": "string", "pattern": "^[ -~]+$", "minLength": 1, "maxLength": MAX_KEY}
    headers: dict[str, tuple[str, Json, str]] = {
        "last_event_id": ("Last-Event-ID", _TEXT, "The same as `since`, as browsers send it"),
        "request_id": ("X-Request-ID", _TEXT, "An id for this request, repeated in the response"),
        "auth_account_id": (
            "X-Auth-Account-ID",
            _TEXT,
            "The expected account of the token; another account is a 401",
        ),
        "if_match": ("If-Match", _TEXT, "Fails with 412 unless the current ETag is listed"),
        "if_none_match": ("If-None-Match", _TEXT, "Answers 304 if the current ETag is listed"),
        "range": ("Range", _TEXT, "`bytes=a-b`, `bytes=a-` or `bytes=-n`"),
        "if_range": ("If-Range", _TEXT, "Ignores `Range` unless the current ETag is this one"),
        "idempotency_key": (
            "Idempotency-Key",
            key,
            "The same key and content return the first response again for 24 hours",
        ),
    }
    return {name: _in("header", *described) for name, described in headers.items()}
