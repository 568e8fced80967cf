"""Event stream on NATS JetStream. The only package that uses the NATS client."""

from service.bus.access import BusAccess
from service.bus.connection import Ack, Bus, StreamSettings, StreamState
from service.bus.consumer import Consumer, ConsumerSettings, StreamMessage
from service.bus.envelope import (
    NO_ACCOUNT,
    MalformedEvent,
    account_of,
    event_of,
    headers_of,
    messaging_attributes,
)
from service.bus.lamps import LampBucket, LampEntry
from service.bus.stream_scan import StoredEvent, StreamScan

__all__ = [
    "NO_ACCOUNT",
    "Ack",
    "Bus",
    "BusAccess",
    "Consumer",
    "ConsumerSettings",
    "LampBucket",
    "LampEntry",
    "MalformedEvent",
    "StoredEvent",
    "StreamMessage",
    "StreamScan",
    "StreamSettings",
    "StreamState",
    "account_of",
    "event_of",
    "headers_of",
    "messaging_attributes",
]
