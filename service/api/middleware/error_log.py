"""What the log gets of requests that failed, whatever their dialect."""

import traceback
from typing import Any

from litestar import Request

from service.domain.errors import Unavailable
from service.logs import get_logger

log = get_logger(__name__)

_FAULT = 500


def log_failure(request: Request[Any, Any, Any], error: Exception, status: int | None) -> None:
    """Says what put a request off, and where we are at fault; what callers do wrong is theirs."""
    request_id = request.scope["state"].get("request_id")
    if isinstance(error, Unavailable):
        log.warning(
            "A request was put off", request_id=request_id, problem=str(error), reason=error.reason
        )
    elif status == _FAULT:
        # Without the error's text: a library may quote what a stranger sent.
        log.error(
            "A request failed",
            request_id=request_id,
            error=type(error).__name__,
            where="".join(traceback.format_tb(error.__traceback__)),
        )
