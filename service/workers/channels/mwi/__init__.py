"""The message-waiting channel: levels that follow the counts of boxes, not deliveries."""

from service.workers.channels.mwi.ari import Ari, AriSettings
from service.workers.channels.mwi.bucket import BucketLamps
from service.workers.channels.mwi.filling import fill
from service.workers.channels.mwi.following import Following, Levels, Patience
from service.workers.channels.mwi.switch import SwitchLamps

__all__ = [
    "Ari",
    "AriSettings",
    "BucketLamps",
    "Following",
    "Levels",
    "Patience",
    "SwitchLamps",
    "fill",
]
