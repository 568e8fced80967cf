"""The relay: outbox -> stream. One is active, others stand by; nothing else publishes."""

from service.workers.relay.database_metrics import DatabaseMetrics
from service.workers.relay.relay import Relay
from service.workers.relay.republish import Republication, RepublicationRefused, republish_since

__all__ = ["DatabaseMetrics", "Relay", "Republication", "RepublicationRefused", "republish_since"]
