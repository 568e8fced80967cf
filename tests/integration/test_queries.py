"""Every named statement is prepared against the migrated database."""

from importlib.resources import files

import asyncpg
import pytest

from service.postgres.sql import load

_NOUNS = sorted(
    entry.name.removesuffix(".sql")
    for entry in files("service.postgres.sql").iterdir()
    if entry.name.endswith(".sql") and entry.name != "fragments.sql"
)


@pytest.mark.parametrize("noun", _NOUNS)
async def test_every_statement_can_be_prepared(noun: str, inspector: asyncpg.Connection) -> None:
    statements = load(noun)
    assert statements
    for name, statement in statements.items():
        try:
            prepared = await inspector.prepare(statement.text)
        except asyncpg.PostgresError as error:
            pytest.fail(f"{noun}.{name}: {error}")
        assert len(prepared.get_parameters()) == len(statement.parameters), name
