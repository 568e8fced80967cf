"""Relay: publishes the outbox on the stream. One relay is active, the others stand by."""

from service.workers.relay.database_metrics import DatabaseMetrics
from service.workers.relay.leadership import RelaySettings
from service.workers.relay.relay import Relay
from service.workers.relay.republish import Republication, RepublicationRefused, republish_since

__all__ = [
    "DatabaseMetrics",
    "Relay",
    "RelaySettings",
    "Republication",
    "RepublicationRefused",
    "republish_since",
]
