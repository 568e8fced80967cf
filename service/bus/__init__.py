"""The event stream: the only home of NATS."""

from service.bus.connection import Ack, Bus, Stream, StreamSettings
from service.bus.consumer import Consumer, ConsumerSettings, Incoming
from service.bus.envelope import NO_ACCOUNT, Unreadable, account_of, event_of, headers_of
from service.bus.lamps import Held, LampBucket

__all__ = [
    "NO_ACCOUNT",
    "Ack",
    "Bus",
    "Consumer",
    "ConsumerSettings",
    "Held",
    "Incoming",
    "LampBucket",
    "Stream",
    "StreamSettings",
    "Unreadable",
    "account_of",
    "event_of",
    "headers_of",
]
