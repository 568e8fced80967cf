"""The message-waiting channel: levels that follow the counts of boxes, not deliveries."""

from service.workers.channels.mwi.ari import AriClient, AriSettings
from service.workers.channels.mwi.asterisk_lamps import AsteriskLamps
from service.workers.channels.mwi.consumer import LampConsumer, LampSink, LampTimings
from service.workers.channels.mwi.kv_lamps import KvLamps
from service.workers.channels.mwi.resync import fill

__all__ = [
    "AriClient",
    "AriSettings",
    "AsteriskLamps",
    "KvLamps",
    "LampConsumer",
    "LampSink",
    "LampTimings",
    "fill",
]
