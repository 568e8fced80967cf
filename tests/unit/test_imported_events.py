"""Imported messages cause no mail, no call and no transcription."""

from typing import Any

import msgspec
import pytest

from service.api.description.event_examples import example_of
from service.domain.events import Event, EventType
from service.workers.channels.callback import CallbackChannel
from service.workers.channels.email.channel import EmailChannel
from service.workers.channels.transcription.channel import TranscriptionChannel


def message_new(reason: str) -> Event:
    event = example_of(EventType.MESSAGE_NEW)
    data = {**msgspec.json.decode(event.data), "origin": {"reason": reason}}
    return msgspec.structs.replace(event, data=msgspec.json.encode(data))


@pytest.mark.parametrize("channel", [EmailChannel, CallbackChannel, TranscriptionChannel])
def test_a_channel_handles_a_stored_message_and_no_imported_one(channel: Any) -> None:
    # `handles` must use the event only, so no channel needs to be opened.
    assert channel.handles(None, message_new("stored"))
    assert not channel.handles(None, message_new("imported"))
