"""Growth: many messages over many months in the database, and what they change.

The rows are written by SQL. All of them name one object of the store.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from service.domain.message import month_after, month_of
from tests.benchmarks.report import Change, Comparison, mean_of, ratios_of

if TYPE_CHECKING:
    from tests.benchmarks.stack import Stack

BASE_MESSAGES = 10_000
# Boxes keep their size, so that only the tables grow.
_MESSAGES_PER_BOX = 625
_READ_DAYS = 60
_READ_MESSAGES = 1024

_PREPARE = """
UPDATE partition_window SET oldest_month = {oldest};
SELECT count(ensure_month(month)) FROM unnest(ARRAY[{months}]) AS month;
INSERT INTO vmboxes (account_id, vmbox_id, name, document)
SELECT account_id, md5('filler' || n)::uuid, 'Filler ' || n, document
FROM vmboxes, generate_series(1, {fillers}) AS n
WHERE account_id = '{account}' AND vmbox_id = '{box}';
INSERT INTO vmbox_counts (account_id, vmbox_id, mailbox, new_count)
SELECT '{account}', md5('filler' || n)::uuid, 'f' || n, {per_box}
FROM generate_series(1, {fillers}) AS n;
UPDATE vmbox_counts SET new_count = new_count + {per_box} WHERE vmbox_id IN ({boxes});
"""
_FILL = """
INSERT INTO messages (
    account_id, month, id, vmbox_id, folder, counted, received_at, length_ms, caller_id_number,
    caller_id_name, call_id, from_uri, to_uri, audio_key, audio_type, audio_size, audio_sha256
)
SELECT m.account_id, {month}, uuidv7(at - now()),
    CASE WHEN n % {all_boxes} < {read}
        THEN (ARRAY[{boxes}]::uuid[])[n % {all_boxes} + 1]
        ELSE md5('filler' || (n % {all_boxes} - {read} + 1))::uuid
    END,
    'new', true, at, 4200, '1001', 'Ann', md5(n::text), m.from_uri, m.to_uri,
    m.audio_key, m.audio_type, m.audio_size, m.audio_sha256
FROM messages AS m, generate_series(1, {count}) AS n,
    LATERAL (
        SELECT date_trunc('second', since + (until - since) * random()) AS at
        FROM (SELECT make_timestamptz({year}, {number}, 1, 0, 0, 0, 'UTC') AS since,
            least(now(), make_timestamptz({year}, {number}, 28, 0, 0, 0, 'UTC')) AS until) AS bounds
    ) AS time
WHERE m.account_id = '{account}' AND m.month = {source_month} AND m.id = '{source_id}'
"""
_SAMPLE = """
SELECT hex(vmbox_id), month || '-' || hex(id), audio_key FROM messages
WHERE vmbox_id IN ({boxes}) AND received_at > now() - interval '{days} days'
    AND removed_at IS NULL
ORDER BY md5(id::text) LIMIT {limit}
"""


class Growth(msgspec.Struct, frozen=True):
    """Number of messages, and of months over which they are spread evenly."""

    messages: int
    months: int


def changes_of(base: Sequence[Comparison], grown: Sequence[Comparison]) -> Iterator[Change]:
    """Compares each ratio to a ceiling, and the rate of what has no ceiling."""
    for before, after in zip(base, grown, strict=True):
        own = after.subject[0]
        pairs = list(zip(ratios_of(before), ratios_of(after), strict=True))
        figures = [(old[0], old[1], new[1]) for old, new in pairs]
        if not figures:
            figures = [("(rate)", mean_of(before.subject).rate, mean_of(after.subject).rate)]
        for ceiling, old_ratio, new_ratio in figures:
            yield Change(
                name=own.name,
                clients=own.clients,
                ceiling=ceiling,
                base=old_ratio,
                grown=new_ratio,
            )


async def fill(stack: "Stack", growth: Growth) -> list[tuple[str, str, str]]:
    """Writes the messages. Returns box, id and key of recent ones, for the measurements."""
    psql = stack.servers.postgres.psql
    newest = month_of(datetime.now(UTC))
    months = [month_after(newest, -back) for back in range(growth.months)]
    fillers = max(0, growth.messages // _MESSAGES_PER_BOX - len(stack.read_boxes))
    boxes = ", ".join(f"'{box}'" for box in stack.read_boxes)
    all_boxes = fillers + len(stack.read_boxes)
    account = stack.account.account_id
    await psql(
        _PREPARE.format(
            oldest=months[-1],
            months=", ".join(map(str, months)),
            fillers=fillers,
            account=account,
            box=stack.read_boxes[0],
            boxes=boxes,
            per_box=growth.messages // all_boxes,
        ),
        role="aftertone_owner",
    )
    source_month, _, source_id = stack.messages[0].media_id.partition("-")
    for month in months:
        await psql(
            _FILL.format(
                month=month,
                year=month // 100,
                number=month % 100,
                count=-(-growth.messages // growth.months),
                all_boxes=all_boxes,
                read=len(stack.read_boxes),
                boxes=boxes,
                account=account,
                source_month=source_month,
                source_id=source_id,
            ),
            role="aftertone_owner",
        )
    await psql("VACUUM ANALYZE messages", role="aftertone_owner")
    rows = await psql(_SAMPLE.format(boxes=boxes, days=_READ_DAYS, limit=_READ_MESSAGES))
    return [(vmbox, media, key) for vmbox, media, key in (r.split("|") for r in rows.splitlines())]
