"""Relay: publishes the outbox on the stream. Each relay owns some shards of the boxes."""

from service.workers.relay.database_metrics import DatabaseMetrics
from service.workers.relay.relay import Relay
from service.workers.relay.republish import Republication, RepublicationRefused, republish_since
from service.workers.relay.settings import RelaySettings

__all__ = [
    "DatabaseMetrics",
    "Relay",
    "RelaySettings",
    "Republication",
    "RepublicationRefused",
    "republish_since",
]
