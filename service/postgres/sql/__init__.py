"""The named statements of this folder, read once at import."""

from importlib.resources import files

NAMES: dict[str, str] = {}
"""The name of each statement that was read, by its text."""


def load(noun: str) -> dict[str, str]:
    """The statements of `<noun>.sql` by name; each begins at its `-- name: <name>` line."""
    text = (files(__package__) / f"{noun}.sql").read_text(encoding="utf-8")
    _, *blocks = text.split("-- name: ")
    named = (block.partition("\n") for block in blocks)
    statements = {name.strip(): statement.strip() for name, _, statement in named}
    NAMES.update((statement, name) for name, statement in statements.items())
    return statements
