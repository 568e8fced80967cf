"""Traces: what a request causes, in each process that it reaches; the only home of OpenTelemetry.

Without a collector there are no spans and the library is not imported. The ids that a caller names
(W3C Trace Context) travel on all the same: to the outbox, to NATS, to whoever follows events.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.trace import Span as Span

    from service.traces.sending import Sender

    Around = AbstractContextManager[Span | None]

Kind = Literal["server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int]

_GIVEN = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<ids>[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(?P<more>-.*)?"
)
_LONGEST = 128
_NOTHING = ("00000000000000000000000000000000-", "-0000000000000000-")

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_sender: "Sender | None" = None


@asynccontextmanager
async def sent(process: str, endpoint: str, sample_ratio: float) -> AsyncIterator[None]:
    """In the block, spans go to the collector at `endpoint` (OTLP over HTTP), if there is one.

    A collector that is away or slow costs spans and nothing else; the end waits for it, bounded.
    """
    global _sender
    if not endpoint:
        yield
        return
    from service.traces.sending import Sender

    _sender = Sender(process, endpoint, sample_ratio)
    try:
        yield
    finally:
        sender, _sender = _sender, None
        await asyncio.to_thread(sender.stop)


def traceparent() -> str | None:
    """What is happening now, for whom it causes something elsewhere."""
    return _current.get()


def checked(given: str | None) -> str | None:
    """A `traceparent` of a stranger, as one of version 00; None when it makes no sense."""
    match = _GIVEN.fullmatch(given) if given and len(given) <= _LONGEST else None
    if match is None or match["version"] == "ff" or match["ids"].startswith(_NOTHING[0]):
        return None
    if _NOTHING[1] in match["ids"] or (match["version"] == "00" and match["more"]):
        return None
    return f"00-{match['ids']}"


def tracing() -> bool:
    """Whether what happens now is traced; asked on hot paths before anything is made."""
    return _sender is not None and _current.get() is not None


def begin(name: str, attributes: Attributes) -> "Span | None":
    """A call of ours to a server, below what happens now; `end` must follow."""
    parent = _current.get()
    if _sender is None or parent is None:
        return None
    return _sender.begin(name, "client", attributes, parent=parent)


def end(span: "Span | None", error: BaseException | None = None) -> None:
    """Of an error only the kind is told: its text may quote what a stranger sent."""
    if span is None:
        return
    if error is not None:
        mark_failed(span, type(error).__name__)
    span.end()


def mark_failed(span: "Span", kind: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def served(caller: str | None) -> "Around":
    """A request, below the span of a caller that named one. Its name and route come at its end."""
    parent = checked(caller)
    if _sender is None:
        return _happening(parent)
    return _within(_sender.begin("HTTP", "server", {}, parent=parent))


def published(name: str, attributes: Attributes, cause: str | None) -> "Around":
    """An event on its way, below what caused it."""
    cause = checked(cause)
    if _sender is None or cause is None:
        return _happening(cause)
    return _within(_sender.begin(name, "producer", attributes, parent=cause))


def consumed(name: str, attributes: Attributes, producer: str | None) -> "Around":
    """What is done about an event: a trace of its own, linked to the producer's."""
    producer = checked(producer)
    if _sender is None or producer is None:
        return _happening(producer)
    return _within(_sender.begin(name, "consumer", attributes, link=producer))


@contextmanager
def _within(span: "Span") -> Iterator["Span"]:
    from service.traces.sending import traceparent_of

    with _happening(traceparent_of(span)):
        try:
            yield span
        except BaseException as error:
            end(span, error)
            raise
        end(span)


@contextmanager
def _happening(what: str | None) -> Iterator[None]:
    token = _current.set(what)
    try:
        yield
    finally:
        _current.reset(token)
