"""Imports what the processes of the service import; nothing else."""

import service.__main__
import service.wiring.api
import service.wiring.notifiers  # noqa: F401
