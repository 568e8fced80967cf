"""Runner of notifier channels: from the stream to `deliveries`, and from there to the targets."""

from service.workers.notifier.notifier import Notifier, NotifierTimings

__all__ = ["Notifier", "NotifierTimings"]
