"""Reads and deletes the stored events of an account, for an erasure."""

from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import nats.js.errors

from service.bus.errors import translated_errors

if TYPE_CHECKING:
    from service.bus.connection import Bus

_TIMEOUT_S = 5.0
_NO_SUCH_MESSAGE = (10037, 10043, 10057)


class StoredEvent(msgspec.Struct, frozen=True):
    """Event of the stream: sequence in the stream, type, and data as JSON."""

    stream_seq: int
    type: str
    data: bytes


class StreamScan:
    """Events of one account in the stream, in order. Methods can raise BusUnavailable."""

    def __init__(self, bus: "Bus", account_id: UUID) -> None:
        self._bus = bus
        self._stream = bus.stream.name
        self._subject = f"{bus.stream.subject_prefix}.{account_id.hex}.>"

    async def read(self, after: int, limit: int) -> list[StoredEvent]:
        """Returns up to `limit` events after a sequence. An empty list means the end."""
        events: list[StoredEvent] = []
        jetstream = self._bus.client().jetstream(timeout=_TIMEOUT_S)
        with translated_errors():
            while len(events) < limit:
                try:
                    message = await jetstream.get_msg(
                        self._stream, seq=after + 1, subject=self._subject, next=True
                    )
                except nats.js.errors.NotFoundError:
                    break
                after = message.seq or after + 1
                _, _, kind = (
                    (message.subject or "")
                    .removeprefix(f"{self._bus.stream.subject_prefix}.")
                    .split(".", 2)
                )
                events.append(StoredEvent(after, kind, message.data or b"null"))
        return events

    async def delete(self, stream_seq: int) -> None:
        """Deletes an event and overwrites its bytes. A missing event is not an error."""
        jetstream = self._bus.client().jetstream(timeout=_TIMEOUT_S)
        with translated_errors():
            try:
                await jetstream.delete_msg(self._stream, stream_seq)
            except nats.js.errors.APIError as error:
                if error.err_code not in _NO_SUCH_MESSAGE:
                    raise
