"""Runner of notifier channels: from the stream to `deliveries`, and from there to the targets."""

from service.workers.notifier.notifier import Notifier
from service.workers.notifier.timings import NotifierTimings

__all__ = ["Notifier", "NotifierTimings"]
