"""The reference of all settings as Markdown, made from the struct: `deploy/SETTINGS.md`."""

from itertools import groupby

import msgspec
from msgspec import inspect

from service.settings.fields import PREFIX, Settings

_HEAD = """\
# Settings

Every process reads its settings from environment variables when it starts; an unknown
`AFTERTONE_*` variable or a value that is not acceptable stops it with a sentence that names it.
Credentials for S3 are found as in every AWS SDK: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`,
or a workload identity. `aftertone settings check` tries what is set, and
`aftertone settings reference` prints this page.
"""
_TABLE = "| variable | value | default | meaning |\n|---|---|---|---|"
# What stands for no bound in `kinds`.
_UNBOUND = (None, 2**31 - 1)


def reference() -> str:
    """The page: a table for each group, a line for each variable."""
    parts = [_HEAD]
    for title, fields in groupby(_fields(), key=lambda field: _told(field)["title"]):
        lines = [_line(field) for field in fields]
        parts.append("\n".join([f"## {title}\n", _TABLE, *lines, ""]))
    return "\n".join(parts)


def _fields() -> tuple[inspect.Field, ...]:
    struct = inspect.type_info(Settings)
    assert isinstance(struct, inspect.StructType)
    return struct.fields


def _told(field: inspect.Field) -> dict[str, str]:
    """Title and meaning; a field that has none fails here, before it is merged."""
    assert isinstance(field.type, inspect.Metadata), f"{field.name} has no meaning"
    return field.type.extra_json_schema or {}


def _line(field: inspect.Field) -> str:
    assert isinstance(field.type, inspect.Metadata)
    default = "" if field.default in ("", None) else f"`{_spelled(field.default)}`"
    name = f"{PREFIX}{field.name.upper()}"
    return f"| `{name}` | {_value(field.type)} | {default} | {_told(field)['description']} |"


def value_of(name: str) -> str:
    """What the setting of that name takes, as the page says it."""
    field = next(field for field in _fields() if field.name == name)
    assert isinstance(field.type, inspect.Metadata)
    return _value(field.type)


def _spelled(value: object) -> str:
    return msgspec.json.encode(value).decode().strip('"').removesuffix(".0")


def _value(kind: inspect.Metadata) -> str:
    spelled: str | None = (kind.extra or {}).get("spelled")
    return spelled or _kind(kind.type)


def _kind(kind: inspect.Type) -> str:
    """How a value is spelt: `integer, 1 to 5`, `true or false`, `path, virtual or auto`."""
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
            return _kind(next(one for one in kind.types if not isinstance(one, inspect.NoneType)))
        case _:
            return "text"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.gt is not None:
        return f", above {kind.gt}, at most {kind.le}"
    if kind.ge is None:
        return ""
    return f", at least {kind.ge}" if kind.le in _UNBOUND else f", {kind.ge} to {kind.le}"
