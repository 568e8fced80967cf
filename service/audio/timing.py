"""The one place where every operation on the audio store passes: it is timed here."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from service.domain.errors import StorageUnavailable
from service.metrics import S3_DURATION, S3_ERRORS

Operation = Literal["put", "get", "copy", "delete", "list", "head", "create"]


@contextmanager
def timed(operation: Operation) -> Iterator[None]:
    """Around an operation with its retries. What is cancelled is no fault of the store."""
    began = time.perf_counter()
    try:
        yield
    except StorageUnavailable:
        S3_ERRORS.labels(operation).inc()
        raise
    finally:
        S3_DURATION.labels(operation).observe(time.perf_counter() - began)
