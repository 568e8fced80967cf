"""The relay: outbox -> stream. One is active, others stand by; nothing else publishes."""

from service.workers.relay.relay import Relay
from service.workers.relay.republish import Republication, RepublicationRefused, republish_since
from service.workers.relay.watch import Watch

__all__ = ["Relay", "Republication", "RepublicationRefused", "Watch", "republish_since"]
