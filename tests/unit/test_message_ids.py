from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.message import (
    LAST_ID,
    MessageCursor,
    MessageId,
    month_after,
    month_of,
    parse_hex_id,
    retained_since,
    uuid7,
)

HEX = "0123456789abcdef0123456789abcdef"
MONTHS = st.builds(lambda year, month: year * 100 + month, st.integers(1, 9999), st.integers(1, 12))
MOMENTS = st.integers(0, 253_000_000_000).map(lambda unix: datetime.fromtimestamp(unix, UTC))


@given(MONTHS, st.uuids())
def test_an_id_parses_to_the_same_id(month: int, identity: UUID) -> None:
    message_id = MessageId(month, identity)
    assert MessageId.parse(str(message_id)) == message_id
    assert len(str(message_id)) == 39


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", HEX, f"202601{HEX}", f"202601_{HEX}", f"20261-{HEX}", f"2026001-{HEX}"),
        *(f"202600-{HEX}", f"202613-{HEX}", f"202699-{HEX}", f"-20261-{HEX}", f"+20261-{HEX}"),
        *(f"202601-{HEX[:-1]}", f"202601-{HEX}0", f"202601-{HEX.upper()}", f" 202601-{HEX}"),
        *(f"202601-{HEX}\n", f"٢٠٢٦٠١-{HEX}", f"²02601-{HEX}", f"202601-{HEX[:-1]}g"),
        f"202601-{UUID(HEX)}",
    ],
)
def test_text_of_another_format_is_not_an_id(text: str) -> None:
    assert MessageId.parse(text) is None


@given(st.text())
def test_any_text_can_be_parsed(text: str) -> None:
    parsed = MessageId.parse(text)
    assert parsed is None or str(parsed) == text
    identity = parse_hex_id(text)
    assert identity is None or identity.hex == text


@given(MOMENTS, MOMENTS, st.binary(min_size=10, max_size=10))
def test_a_new_id_has_the_month_of_the_message_and_the_time_of_now(
    received_at: datetime, now: datetime, entropy: bytes
) -> None:
    message_id = MessageId.generate(received_at, now, entropy)
    assert message_id.month == received_at.year * 100 + received_at.month
    assert (message_id.id.version, message_id.id.variant) == (7, "specified in RFC 4122")
    assert message_id.id.int >> 80 == int(now.timestamp() * 1000)


@given(MOMENTS, st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_later_ids_sort_after_earlier_ones(now: datetime, first: bytes, second: bytes) -> None:
    assert uuid7(now, first) < uuid7(now + timedelta(milliseconds=2), second)


def test_ids_of_the_same_time_differ() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    ids = {uuid7(now, bytes([0] * n + [1] + [0] * (9 - n))) for n in range(10)}
    assert len(ids) == 10


def test_the_month_is_in_utc() -> None:
    east = timezone(timedelta(hours=9))
    assert month_of(datetime(2026, 1, 1, 8, tzinfo=east)) == 202512
    assert month_of(datetime(2026, 1, 1, 9, tzinfo=east)) == 202601


@given(MONTHS.filter(lambda month: 200 < month // 100 < 9000), st.integers(-2000, 2000))
def test_months_continue_in_the_next_year(month: int, steps: int) -> None:
    other = month_after(month, steps)
    assert 1 <= other % 100 <= 12
    assert month_after(other, -steps) == month
    assert (other > month) == (steps > 0)


def test_retention_has_an_hour_of_grace() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert retained_since(now, 93) == datetime(2026, 8, 20, 11, tzinfo=UTC)


def test_a_cursor_has_the_month_of_its_time() -> None:
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    cursor = MessageCursor(202611, moment, LAST_ID)
    assert msgspec.json.decode(msgspec.json.encode(cursor), type=MessageCursor) == cursor
    with pytest.raises(ValueError, match="month"):
        MessageCursor(202610, moment, LAST_ID)
