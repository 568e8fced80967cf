import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.http.ranges import ByteRange, RangeNotSatisfiable, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", ByteRange(0, 10)),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=0-9", ByteRange(0, 10)),
        ("bytes=0-10", ByteRange(0, 10)),
        ("bytes=9-", ByteRange(9, 1)),
        ("bytes=-1", ByteRange(9, 1)),
        ("bytes=-10", ByteRange(0, 10)),
        ("bytes=-11", ByteRange(0, 10)),
        ("  bytes=2-3 ", ByteRange(2, 2)),
        ("BYTES=2-3", ByteRange(2, 2)),
        ("bytes=02-003", ByteRange(2, 2)),
        (f"bytes=1-{'9' * 99}", ByteRange(1, 9)),
    ],
)
def test_a_range_is_cut_to_the_size(header: str, expected: ByteRange) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-11", "bytes=-0", f"bytes={'9' * 99}-"])
def test_a_range_after_the_end_is_not_satisfiable(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as error:
        parse_range(header, 10)
    assert error.value.size == 10


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "bytes", "bytes=", "bytes=-", "bytes=1", "bytes=2-1", "bytes=0-1,3-4"),
        *("items=0-1", "bytes=a-b", "bytes=0-1x", "bytes = 0-1", "bytes=+1-2", "bytes=٠-١"),
        f"bytes=0-{'9' * 5000}",
    ],
)
def test_an_invalid_range_is_ignored(header: str | None) -> None:
    assert parse_range(header, 10) is None


def test_a_range_has_a_content_range() -> None:
    assert ByteRange(2, 3).content_range(10) == "bytes 2-4/10"


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 10))
def test_a_range_selects_the_same_bytes_as_a_slice(first: int, last: int, size: int) -> None:
    data = bytes(range(size))
    if first >= size and last >= first:
        with pytest.raises(RangeNotSatisfiable):
            parse_range(f"bytes={first}-{last}", size)
        return
    requested = parse_range(f"bytes={first}-{last}", size)
    if last < first:
        assert requested is None
    else:
        assert requested is not None
        assert data[requested.start : requested.start + requested.length] == data[first : last + 1]


@given(st.text() | st.from_regex(r"bytes=[0-9,-]{0,30}"), st.integers(1, 2**40))
def test_every_header_selects_existing_bytes(header: str, size: int) -> None:
    try:
        requested = parse_range(header, size)
    except RangeNotSatisfiable:
        assert re.match(r"\s*bytes=", header, re.IGNORECASE)
        return
    assert requested is None or (
        requested.length > 0 and 0 <= requested.start <= size - requested.length
    )
