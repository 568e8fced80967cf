"""Message-waiting channel: sets lamps from the counts of boxes, without delivery rows."""

from service.workers.channels.mwi.ari import AriClient, AriSettings
from service.workers.channels.mwi.asterisk_lamps import AsteriskLamps
from service.workers.channels.mwi.consumer import LampConsumer, LampSink, LampTimings
from service.workers.channels.mwi.kv_lamps import KvLamps
from service.workers.channels.mwi.resync import resync

__all__ = [
    "AriClient",
    "AriSettings",
    "AsteriskLamps",
    "KvLamps",
    "LampConsumer",
    "LampSink",
    "LampTimings",
    "resync",
]
