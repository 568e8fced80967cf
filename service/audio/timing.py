"""The one place where every operation on the audio store passes: it is timed here."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

from service.domain.errors import StorageUnavailable
from service.metrics import S3_DURATION, S3_ERRORS
from service.traces import begin_span, end_span

Operation = Literal["put", "get", "copy", "delete", "list", "head", "create"]

for _name in get_args(Operation):
    # From 0 on: of a counter that begins with its first error, nobody sees that one.
    S3_ERRORS.labels(_name)


@contextmanager
def timed(operation: Operation) -> Iterator[None]:
    """Around an operation with its retries. What is cancelled is no fault of the store."""
    span = begin_span(f"S3 {operation}", {"rpc.system": "aws-api", "rpc.method": operation})
    failure: BaseException | None = None
    began = time.perf_counter()
    try:
        yield
    except BaseException as error:
        failure = error
        if isinstance(error, StorageUnavailable):
            S3_ERRORS.labels(operation).inc()
        raise
    finally:
        S3_DURATION.labels(operation).observe(time.perf_counter() - began)
        end_span(span, failure)
