"""The runner of notifier channels: stream -> `deliveries` -> the outside."""

from service.workers.notifier.notifier import Notifier, Pace

__all__ = ["Notifier", "Pace"]
