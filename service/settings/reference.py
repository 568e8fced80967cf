"""Reference of all settings as Markdown, generated from the struct: `deploy/SETTINGS.md`."""

from itertools import groupby

import msgspec
from msgspec import inspect

from service.settings.fields import PREFIX, Settings

_INTRODUCTION = """\
# Settings

Every process reads its settings from environment variables when it starts. If an `AFTERTONE_*`
variable is unknown or its value is not valid, the process exits with a message that names it.
Credentials for S3 are found as in every AWS SDK: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`,
or a workload identity. `aftertone settings check` tests the settings against the servers, and
`aftertone settings reference` prints this page.
"""
_TABLE = "| variable | value | default | description |\n|---|---|---|---|"
# Upper bounds in `types` that stand for "no bound".
_UNBOUNDED = (None, 2**31 - 1)


def reference() -> str:
    """Returns the page: one table for each group, one row for each variable."""
    parts = [_INTRODUCTION]
    for title, fields in groupby(_fields(), key=lambda field: _annotations(field)["title"]):
        rows = [_table_row(field) for field in fields]
        parts.append("\n".join([f"## {title}\n", _TABLE, *rows, ""]))
    return "\n".join(parts)


def accepted_values(name: str) -> str:
    """Returns the values that a setting accepts: `integer, 1 to 5`, `true or false`."""
    field = next(field for field in _fields() if field.name == name)
    assert isinstance(field.type, inspect.Metadata)
    spelling: str | None = (field.type.extra or {}).get("spelling")
    return spelling or _accepted(field.type.type)


def _fields() -> tuple[inspect.Field, ...]:
    struct = inspect.type_info(Settings)
    assert isinstance(struct, inspect.StructType)
    return struct.fields


def _annotations(field: inspect.Field) -> dict[str, str]:
    """Returns title and description; fails for a field without them."""
    assert isinstance(field.type, inspect.Metadata), f"{field.name} has no description"
    return field.type.extra_json_schema or {}


def _table_row(field: inspect.Field) -> str:
    default = "" if field.default in ("", None) else f"`{_format_default(field.default)}`"
    name = f"{PREFIX}{field.name.upper()}"
    description = _annotations(field)["description"]
    return f"| `{name}` | {accepted_values(field.name)} | {default} | {description} |"


def _format_default(value: object) -> str:
    return msgspec.json.encode(value).decode().strip('"').removesuffix(".0")


def _accepted(kind: inspect.Type) -> str:
    match kind:
        case inspect.BoolType():
            return "`true` or `false`"
        case inspect.IntType():
            return "integer" + _range(kind)
        case inspect.FloatType():
            return "number" + _range(kind)
        case inspect.LiteralType():
            words = [f"`{word}`" if word else "empty" for word in kind.values]
            return f"{', '.join(words[:-1])} or {words[-1]}"
        case inspect.UnionType():
            return _accepted(next(t for t in kind.types if not isinstance(t, inspect.NoneType)))
        case _:
            return "text"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.gt is not None:
        return f", above {kind.gt}, at most {kind.le}"
    if kind.ge is None:
        return ""
    return f", at least {kind.ge}" if kind.le in _UNBOUNDED else f", {kind.ge} to {kind.le}"
