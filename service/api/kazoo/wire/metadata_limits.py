"""Metadata of a new message that does not fit: it is cut, so that the audio is not lost."""

from typing import Any

from msgspec import UNSET

from service.api.kazoo.envelope import FieldWarning
from service.api.kazoo.wire.messages import MESSAGE_FIELDS, StoredMessage
from service.domain.errors import Rule
from service.domain.schema import Document, apply_schema
from service.domain.text import strip_control_characters

_CLEANED = "Control characters were removed"
_NOT_STORED = "The field is unknown and is not stored"
_LENGTH_FIELDS = {"length": MESSAGE_FIELDS["length"]}
# Clients may send back what a response contains.
_KNOWN_KEYS = {*MESSAGE_FIELDS, *StoredMessage.__struct_encode_fields__}


def fit_metadata(data: Document) -> tuple[Document, list[FieldWarning]]:
    """Returns the metadata of a new message without control characters, cut to its limits.

    The only copy of the audio must not be lost because of a long name. A number becomes text; a
    text or length of another type is left out. The warnings name the changed fields, and unknown
    fields, which are not stored.
    """
    fitted, warnings = dict(data), []
    for name, value in data.items():
        limit = MESSAGE_FIELDS[name].max_length if name in MESSAGE_FIELDS else None
        if limit is not None and value is not None:
            fitted[name], warning = _fit_text(name, value, limit)
            warnings += [warning] if warning else []
        elif (
            name == "length"
            and value is not None
            and apply_schema({name: value}, _LENGTH_FIELDS)[1]
        ):
            fitted[name] = None
            text = "Not a number of milliseconds; the length is measured"
            warnings.append(FieldWarning(field=name, rule=Rule.TYPE, message=text))
        elif name not in _KNOWN_KEYS and not name.startswith(("_", "pvt_")):
            field = strip_control_characters(name)[:64]
            warnings.append(FieldWarning(field=field, rule="unknown", message=_NOT_STORED))
    return fitted, warnings


def _fit_text(name: str, value: Any, limit: int) -> tuple[str | None, FieldWarning | None]:
    """Returns the text that is kept of a value, and a warning if it is not the value."""
    if not isinstance(value, str):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        kept = str(value)[:limit] if is_number else None
        text = "The number was stored as text" if is_number else "Not a text; left out"
        return kept, FieldWarning(field=name, rule=Rule.TYPE, message=text, kept=kept or UNSET)
    clean = strip_control_characters(value)
    kept = clean[:limit]
    if kept == value:
        return kept, None
    rule = Rule.MAX_LENGTH if len(clean) > limit else Rule.WRONG_FORMAT
    text = f"Cut to {limit} characters" if len(clean) > limit else _CLEANED
    return kept, FieldWarning(field=name, rule=rule, message=text, kept=kept)
