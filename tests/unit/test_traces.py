"""Trace ids of clients are checked, and there are no spans while tracing is off."""

import asyncio

import pytest

from service.traces import (
    begin_span,
    consumer_span,
    end_span,
    is_tracing,
    parse_traceparent,
    producer_span,
    server_span,
    traceparent,
)

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("value", "understood"),
    [
        (GIVEN, GIVEN),
        (GIVEN.replace("-01", "-00"), GIVEN.replace("-01", "-00")),
        # A later version is read as far as it is known.
        ("cc" + GIVEN[2:] + "-what-the-future-holds", GIVEN),
        (None, None),
        ("", None),
        ("ff" + GIVEN[2:], None),
        (GIVEN + "-more", None),
        (GIVEN.upper(), None),
        (GIVEN[:-1], None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", None),
        ("cc" + GIVEN[2:] + "-" + "x" * 100, None),
    ],
)
def test_a_valid_traceparent_of_a_caller_is_accepted(
    value: str | None, understood: str | None
) -> None:
    assert parse_traceparent(value) == understood


def test_trace_ids_travel_without_tracing() -> None:
    with server_span(GIVEN) as span:
        assert (span, traceparent(), is_tracing()) == (None, GIVEN, False)
        end_span(begin_span("a statement", {}))
        with producer_span("an event", {}, None):
            assert traceparent() is None
        with consumer_span("an event", {}, "00-aa-bb-01") as consumer:
            assert (consumer, traceparent()) == (None, None)
        assert traceparent() == GIVEN
    assert traceparent() is None


async def test_concurrent_spans_are_separate() -> None:
    async def request(number: int) -> None:
        value = f"00-{number:032x}-{number:016x}-01"
        with server_span(value):
            for _ in range(3):
                await asyncio.sleep(0)
                assert traceparent() == value

    await asyncio.gather(*(request(number) for number in range(1, 9)))
    assert traceparent() is None
