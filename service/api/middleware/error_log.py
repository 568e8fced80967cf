"""Log of failed requests, for all dialects."""

import traceback
from typing import Any

from litestar import Request

from service.domain.errors import Unavailable
from service.logs import get_logger

log = get_logger(__name__)


def log_failure(request: Request[Any, Any, Any], error: Exception, status: int | None) -> None:
    """Logs a warning for an unavailable dependency, and an error for a 500. Does not log a 4xx."""
    request_id = request.scope["state"].get("request_id")
    if isinstance(error, Unavailable):
        log.warning(
            "request rejected", request_id=request_id, problem=str(error), reason=error.reason
        )
    elif status == 500:
        # Without the error's text, because libraries may quote client data in it.
        log.error(
            "request failed",
            request_id=request_id,
            error=type(error).__name__,
            where="".join(traceback.format_tb(error.__traceback__)),
        )
