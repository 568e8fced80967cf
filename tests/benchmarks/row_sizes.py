"""Bytes of a row with its share of the indexes, in the tables that grow with the messages."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.benchmarks.stack import Stack

_TABLES = ("messages", "outbox", "audit")
# A partition with few rows consists mostly of the first pages of its indexes.
_FEW_ROWS = 2_000
_SIZES = """
SELECT parent.relname, sum(pg_total_relation_size(part.oid)) / sum(part.reltuples)
FROM pg_class AS parent
JOIN pg_inherits ON inhparent = parent.oid
JOIN pg_class AS part ON part.oid = inhrelid
WHERE parent.relname IN ({tables}) AND part.reltuples >= {few}
GROUP BY parent.relname ORDER BY parent.relname
"""


async def read_row_sizes(stack: "Stack") -> dict[str, float]:
    """Returns the mean size of a row by table, without tables that have too few rows."""
    await stack.servers.postgres.psql("VACUUM ANALYZE")
    tables = ", ".join(f"'{table}'" for table in _TABLES)
    rows = await stack.servers.postgres.psql(_SIZES.format(tables=tables, few=_FEW_ROWS))
    return {name: float(size) for name, size in (row.split("|") for row in rows.splitlines())}
