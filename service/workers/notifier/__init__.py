"""The runner of notifier channels: stream -> `deliveries` -> the outside."""

from service.workers.notifier.notifier import Notifier, NotifierTimings

__all__ = ["Notifier", "NotifierTimings"]
